"""The metrics of a handler."""

from modelserver.child.metrics.torchserve import Dimension, MetricTypes
from modelserver.child.metrics.torchserve import HandlerMetrics as MetricCacheAbstract

__all__ = ["Dimension", "MetricCacheAbstract", "MetricTypes"]
