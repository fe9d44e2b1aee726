"""A format of request bodies."""

from modelserver.child.envelopes import BodyEnvelope

__all__ = ["BodyEnvelope"]
