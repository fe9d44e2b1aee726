"""The metrics of a handler."""

from modelserver.child.metrics.torchserve import HandlerMetrics as MetricCacheAbstract
from modelserver.child.metrics.types import Dimension, MetricTypes

__all__ = ["Dimension", "MetricCacheAbstract", "MetricTypes"]
