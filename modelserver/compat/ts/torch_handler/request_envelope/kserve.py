"""A format of request bodies."""

from modelserver.child.envelopes.kserve import KServeEnvelope
from modelserver.compat.borrowed import borrowed

__all__ = ["KServeEnvelope"]

__getattr__ = borrowed(__name__)
