"""A metric of which values can be given at any time."""

from modelserver.child.metrics.torchserve import CachingMetric, Dimension, MetricTypes

__all__ = ["CachingMetric", "Dimension", "MetricTypes"]
