"""A format of request bodies."""

from modelserver.child.envelopes.kserve import JSONEnvelope

__all__ = ["JSONEnvelope"]
