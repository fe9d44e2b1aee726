"""
Values of metrics that no context has: of a ``CachingMetric`` or a cache of metrics that a handler has made.

In a worker they are sent with those of the context. Elsewhere, in a handler's own tests, each is a line of
the log, in the peer's form.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol, cast

from modelserver.child.metrics.types import MetricTypes, Record

log = logging.getLogger("ts.metrics.caching_metric")

_collectors: list[Callable[[Record], None]] = []


class HasMetrics(Protocol):
    """A context."""

    metrics: Any


def collect_for(context: HasMetrics) -> None:
    """
    Keep all values from now on with those of a context, as long as it has the metrics that it has now.

    Nothing is kept where these are not of TorchServe's kind.
    """
    metrics = context.metrics

    def keep(record: Record) -> None:
        if context.metrics is metrics:
            metrics.emit(record)

    _collectors[:] = [keep] if hasattr(metrics, "emit") else []


def release() -> None:
    """Log values from now on."""
    _collectors.clear()


def are_collected() -> bool:
    """Whether values are kept."""
    return bool(_collectors)


def emit(record: Record) -> None:
    """Send a value with those of the worker's context, or log it where there is no worker."""
    if _collectors:
        _collectors[0](record)
    else:
        log.info("[METRICS]%s", _line(record))


def _line(record: Record) -> str:
    labels = ",".join(map(":".join, cast(Iterable[list[str]], record["dimensions"])))
    ids = f",{record['request_id']}" if record["request_id"] else ""
    return (
        f"{record['name']}.{record['unit']}:{record['value']}|#{labels}|#type:"
        f"{MetricTypes(record['type']).name}|#hostname:{socket.gethostname()},{int(time.time())}{ids}"
    )
