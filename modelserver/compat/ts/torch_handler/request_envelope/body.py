"""A format of request bodies."""

from modelserver.child.envelopes.base import BodyEnvelope

__all__ = ["BodyEnvelope"]
