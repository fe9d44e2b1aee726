"""A format of request bodies."""

from modelserver.child.envelopes.base import BaseEnvelope
from modelserver.compat.borrowed import borrowed

__all__ = ["BaseEnvelope"]

__getattr__ = borrowed(__name__)
