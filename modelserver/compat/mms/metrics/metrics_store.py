"""Metrics that add up over a batch."""

from modelserver.child.metrics_store import MmsMetricsStore as MetricsStore

__all__ = ["MetricsStore"]
