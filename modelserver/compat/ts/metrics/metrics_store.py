"""Metrics that add up over a batch."""

from modelserver.child.metrics.mms import MetricsStore

__all__ = ["MetricsStore"]
