"""The names of units."""

from modelserver.child.metrics_store import Units

__all__ = ["Units"]
