"""The metrics of a handler, some of them declared in a file."""

from modelserver.child.metrics.torchserve import CachingMetric
from modelserver.child.metrics.torchserve import HandlerMetrics as MetricsCacheYamlImpl
from modelserver.child.metrics.types import MetricTypes

__all__ = ["CachingMetric", "MetricTypes", "MetricsCacheYamlImpl"]
