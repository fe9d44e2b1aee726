"""A format of request bodies."""

from modelserver.child.envelopes.base import JSONEnvelope

__all__ = ["JSONEnvelope"]
