"""A format of request bodies."""

from modelserver.child.envelopes.kserve import JSONEnvelope
from modelserver.compat.borrowed import borrowed

__all__ = ["JSONEnvelope"]

__getattr__ = borrowed(__name__)
