"""What can be wrong with metrics."""

from modelserver.child.metrics.types import (
    GeneralMetricsCacheError,
    MetricsCacheIOError,
    MetricsCacheKeyError,
    MetricsCacheTypeError,
    MetricsCacheValueError,
)
from modelserver.compat.borrowed import borrowed

MetricsCachePyYamlError = MetricsCacheValueError

__all__ = [
    "GeneralMetricsCacheError",
    "MetricsCacheIOError",
    "MetricsCacheKeyError",
    "MetricsCachePyYamlError",
    "MetricsCacheTypeError",
    "MetricsCacheValueError",
]

__getattr__ = borrowed(__name__)
