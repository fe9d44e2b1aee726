"""Metrics in JSON."""

from modelserver.child.metrics_store import MetricEncoder

__all__ = ["MetricEncoder"]
