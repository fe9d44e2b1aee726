"""How long functions take."""

from modelserver.child.handlers.timing import timeit
from modelserver.compat.borrowed import borrowed

__all__ = ["timeit"]

__getattr__ = borrowed(__name__)
