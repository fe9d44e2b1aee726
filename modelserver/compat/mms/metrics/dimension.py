"""Labels of metrics."""

from modelserver.child.metrics import Dimension

__all__ = ["Dimension"]
