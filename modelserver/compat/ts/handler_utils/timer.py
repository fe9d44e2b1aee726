"""How long the steps of a handler take."""

from modelserver.child.handlers.timing import timed
from modelserver.compat.borrowed import borrowed

__all__ = ["timed"]

__getattr__ = borrowed(__name__)
