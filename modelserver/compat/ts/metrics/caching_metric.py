"""A metric of which values can be given at any time."""

from modelserver.child.metrics import CachingMetric, Dimension, MetricTypes

__all__ = ["CachingMetric", "Dimension", "MetricTypes"]
