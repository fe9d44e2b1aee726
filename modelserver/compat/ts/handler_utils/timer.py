"""How long the steps of a handler take."""

from modelserver.child.handlers.timing import timed

__all__ = ["timed"]
