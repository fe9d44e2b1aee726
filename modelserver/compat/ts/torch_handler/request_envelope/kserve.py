"""A format of request bodies."""

from modelserver.child.envelopes.kserve import KServeEnvelope

__all__ = ["KServeEnvelope"]
