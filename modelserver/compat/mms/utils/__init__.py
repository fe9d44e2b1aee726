"""Small things that handlers need."""

from modelserver.compat.borrowed import borrowed

__getattr__ = borrowed(__name__)
