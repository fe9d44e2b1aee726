"""A format of request bodies."""

from modelserver.child.envelopes.base import BaseEnvelope

__all__ = ["BaseEnvelope"]
