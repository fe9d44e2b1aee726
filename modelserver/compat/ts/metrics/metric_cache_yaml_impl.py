"""The metrics of a handler, some of them declared in a file."""

from modelserver.child.metrics.torchserve import CachingMetric, MetricTypes
from modelserver.child.metrics.torchserve import HandlerMetrics as MetricsCacheYamlImpl

__all__ = ["CachingMetric", "MetricTypes", "MetricsCacheYamlImpl"]
