"""Types of metrics."""

from modelserver.child.metrics import MetricTypes

__all__ = ["MetricTypes"]
