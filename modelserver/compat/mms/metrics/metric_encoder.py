"""Metrics in JSON."""

from modelserver.child.metrics.mms import MetricEncoder
from modelserver.compat.borrowed import borrowed

__all__ = ["MetricEncoder"]

__getattr__ = borrowed(__name__)
