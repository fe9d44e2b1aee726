"""A format of request bodies."""

from modelserver.child.envelopes import JSONEnvelope

__all__ = ["JSONEnvelope"]
