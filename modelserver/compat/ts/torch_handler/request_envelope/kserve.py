"""A format of request bodies."""

from modelserver.child.envelopes.base import KServeEnvelope

__all__ = ["KServeEnvelope"]
