"""The names of units."""

from modelserver.child.metrics.mms import Units

__all__ = ["Units"]
