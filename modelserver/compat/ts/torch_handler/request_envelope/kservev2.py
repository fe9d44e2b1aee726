"""A format of request bodies."""

from modelserver.child.open_inference import KServev2Envelope

__all__ = ["KServev2Envelope"]
