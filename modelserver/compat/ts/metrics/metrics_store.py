"""Metrics that add up over a batch."""

from modelserver.child.metrics_store import MetricsStore

__all__ = ["MetricsStore"]
