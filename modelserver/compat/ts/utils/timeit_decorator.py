"""How long functions take."""

from modelserver.child.handlers.timing import timeit

__all__ = ["timeit"]
