"""One value of a metric."""

from modelserver.child.metrics.mms import Metric

__all__ = ["Metric"]
