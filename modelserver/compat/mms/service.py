"""A handler with its model, and the exception that a handler fails with."""

from modelserver.child.context import MmsContext as Context
from modelserver.child.context import PredictionException, RequestProcessor
from modelserver.child.data.refusals import RowsRefused
from modelserver.child.handler_tests.service import PREDICTION_METRIC, emit_metrics
from modelserver.child.handler_tests.service import MmsService as Service
from modelserver.child.metrics.mms import MmsMetricsStore as MetricsStore
from modelserver.compat.borrowed import borrowed

__all__ = [
    "PREDICTION_METRIC",
    "Context",
    "MetricsStore",
    "PredictionException",
    "RequestProcessor",
    "RowsRefused",
    "Service",
    "emit_metrics",
]

__getattr__ = borrowed(__name__)
