"""Types of metrics."""

from modelserver.child.metrics.types import MetricTypes

__all__ = ["MetricTypes"]
