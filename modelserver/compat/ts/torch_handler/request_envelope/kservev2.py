"""A format of request bodies."""

from modelserver.child.envelopes.open_inference import KServev2Envelope
from modelserver.compat.borrowed import borrowed

__all__ = ["KServev2Envelope"]

__getattr__ = borrowed(__name__)
