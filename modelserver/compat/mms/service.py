"""A handler with its model, and the exception that a handler fails with."""

from modelserver.child.context import MmsContext as Context
from modelserver.child.context import PredictionException, RequestProcessor
from modelserver.child.metrics_store import MmsMetricsStore as MetricsStore
from modelserver.child.peer_service import PREDICTION_METRIC, emit_metrics
from modelserver.child.peer_service import MmsService as Service

__all__ = [
    "PREDICTION_METRIC",
    "Context",
    "MetricsStore",
    "PredictionException",
    "RequestProcessor",
    "Service",
    "emit_metrics",
]
