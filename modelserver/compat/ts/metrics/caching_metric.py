"""A metric of which values can be given at any time."""

from modelserver.child.metrics.caching import CachingMetric
from modelserver.child.metrics.types import Dimension, MetricTypes
from modelserver.compat.borrowed import borrowed

__all__ = ["CachingMetric", "Dimension", "MetricTypes"]

__getattr__ = borrowed(__name__)
