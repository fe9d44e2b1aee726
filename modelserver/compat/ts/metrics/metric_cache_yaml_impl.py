"""The metrics of a handler, some of them declared in a file."""

from modelserver.child.metrics.caching import CachingMetric
from modelserver.child.metrics.types import MetricTypes
from modelserver.child.metrics.yaml_cache import MetricsCacheYamlImpl
from modelserver.compat.borrowed import borrowed

__all__ = ["CachingMetric", "MetricTypes", "MetricsCacheYamlImpl"]

__getattr__ = borrowed(__name__)
