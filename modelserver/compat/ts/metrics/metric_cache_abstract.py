"""The metrics of a handler."""

from modelserver.child.metrics import Dimension, MetricTypes
from modelserver.child.metrics import HandlerMetrics as MetricCacheAbstract

__all__ = ["Dimension", "MetricCacheAbstract", "MetricTypes"]
