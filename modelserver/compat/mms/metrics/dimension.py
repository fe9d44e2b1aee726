"""Labels of metrics."""

from modelserver.child.metrics.torchserve import Dimension

__all__ = ["Dimension"]
