"""Metrics that add up over a batch."""

from modelserver.child.metrics.mms import MmsMetricsStore as MetricsStore

__all__ = ["MetricsStore"]
