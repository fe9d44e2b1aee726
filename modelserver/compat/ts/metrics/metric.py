"""One value of a metric."""

from modelserver.child.metrics.mms import Units
from modelserver.child.metrics.old_store import OldMetric as Metric
from modelserver.compat.borrowed import borrowed

__all__ = ["Metric", "MetricUnit", "Units"]

MetricUnit = Units()

__getattr__ = borrowed(__name__)
