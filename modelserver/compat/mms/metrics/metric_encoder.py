"""Metrics in JSON."""

from modelserver.child.metrics.mms import MetricEncoder

__all__ = ["MetricEncoder"]
