"""The metrics of a handler."""

from modelserver.child.metrics.cache import MetricsCache as MetricCacheAbstract
from modelserver.child.metrics.types import Dimension, MetricTypes
from modelserver.compat.borrowed import borrowed

__all__ = ["Dimension", "MetricCacheAbstract", "MetricTypes"]

__getattr__ = borrowed(__name__)
