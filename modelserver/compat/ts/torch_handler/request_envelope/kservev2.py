"""A format of request bodies."""

from modelserver.child.envelopes.open_inference import KServev2Envelope

__all__ = ["KServev2Envelope"]
