"""Metrics that add up over a batch."""

from modelserver.child.metrics.old_store import OldMetricsStore as MetricsStore
from modelserver.compat.borrowed import borrowed

__all__ = ["MetricsStore"]

__getattr__ = borrowed(__name__)
