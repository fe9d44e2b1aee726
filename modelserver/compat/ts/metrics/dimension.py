"""Labels of metrics."""

from modelserver.child.metrics.types import Dimension

__all__ = ["Dimension"]
