"""The metric that others are."""

from modelserver.child.metrics.torchserve import CachingMetric as MetricAbstract
from modelserver.child.metrics.types import MetricTypes

__all__ = ["MetricAbstract", "MetricTypes"]
