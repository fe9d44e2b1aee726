"""A format of request bodies."""

from modelserver.child.envelopes import KServeEnvelope

__all__ = ["KServeEnvelope"]
