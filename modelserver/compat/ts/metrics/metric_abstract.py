"""The metric that others are."""

from modelserver.child.metrics import CachingMetric as MetricAbstract
from modelserver.child.metrics import MetricTypes

__all__ = ["MetricAbstract", "MetricTypes"]
