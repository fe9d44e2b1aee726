"""A format of request bodies."""

from modelserver.child.envelopes import BaseEnvelope

__all__ = ["BaseEnvelope"]
