"""The metric that others are."""

from modelserver.child.metrics.caching import CachingMetric as MetricAbstract
from modelserver.child.metrics.mms import Units
from modelserver.child.metrics.types import MetricTypes
from modelserver.compat.borrowed import borrowed

__all__ = ["MetricAbstract", "MetricTypes", "MetricUnit", "Units"]

MetricUnit = Units()

__getattr__ = borrowed(__name__)
