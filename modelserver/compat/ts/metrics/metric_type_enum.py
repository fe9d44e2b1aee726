"""Types of metrics."""

from modelserver.child.metrics.torchserve import MetricTypes

__all__ = ["MetricTypes"]
