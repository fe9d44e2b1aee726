"""Types of metrics."""

from modelserver.child.metrics.types import MetricTypes
from modelserver.compat.borrowed import borrowed

__all__ = ["MetricTypes"]

__getattr__ = borrowed(__name__)
