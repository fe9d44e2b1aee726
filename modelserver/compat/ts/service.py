"""A handler with its model, and the exception that a handler fails with."""

from modelserver.child.context import Context, PredictionException, RequestProcessor
from modelserver.child.data.refusals import RowsRefused
from modelserver.child.handler_tests.service import PREDICTION_METRIC, Service, emit_metrics
from modelserver.compat.borrowed import borrowed

__all__ = [
    "PREDICTION_METRIC",
    "Context",
    "PredictionException",
    "RequestProcessor",
    "RowsRefused",
    "Service",
    "emit_metrics",
]

__getattr__ = borrowed(__name__)
