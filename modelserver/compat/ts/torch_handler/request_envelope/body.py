"""A format of request bodies."""

from modelserver.child.envelopes.base import BodyEnvelope
from modelserver.compat.borrowed import borrowed

__all__ = ["BodyEnvelope"]

__getattr__ = borrowed(__name__)
