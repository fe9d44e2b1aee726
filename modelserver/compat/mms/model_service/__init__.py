"""The services of the oldest archives."""

from modelserver.compat.borrowed import borrowed

__getattr__ = borrowed(__name__)
