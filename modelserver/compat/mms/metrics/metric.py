"""One value of a metric."""

from modelserver.child.metrics_store import Metric

__all__ = ["Metric"]
