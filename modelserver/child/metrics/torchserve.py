"""What a handler counts in a worker: TorchServe's metrics, kept as records until the loop drains them."""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import copy

from modelserver.child.metrics.cache import MetricsCache
from modelserver.child.metrics.caching import CachingMetric
from modelserver.child.metrics.declared import read_model_metrics
from modelserver.child.metrics.types import MetricTypes, Record, RequestIds


class HandlerMetrics(MetricsCache):
    """
    The metrics of one handler, TorchServe's way: every value is a record that the loop drains.

    :param config_file_path: a ``metrics.yaml`` whose ``model_metrics`` exist beforehand; read when needed.
    :param model_name: for the label ``ModelName``.
    :param now: seconds since the epoch.
    """

    def __init__(
        self,
        config_file_path: str | None = None,
        model_name: str | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(config_file_path, model_name)
        self._ids: Callable[[], RequestIds | None] | None = None
        self._now = now
        self._records: list[Record] = []
        self._undeclared = [] if config_file_path is None else [config_file_path]

    def beside(self) -> HandlerMetrics:
        """The same metrics for requests that are in hand at the same time as those that these are for."""
        other = copy(self)
        other.request_ids = other._ids = None
        return other

    def follow(self, ids: Callable[[], RequestIds | None]) -> None:
        """Take the ids of the requests in hand from ``ids`` whenever one is needed."""
        self._ids = ids

    def set_request_ids(self, request_ids: RequestIds | str) -> None:
        """Say whose values come next, for a handler's own tests; a context in use says it itself."""
        self.request_ids, self._ids = request_ids, None

    def ids(self) -> RequestIds | str:
        """The ids of the requests in hand; there are none while a handler is initialized."""
        return (self._ids() if self._ids is not None else self.request_ids) or ""

    def drain(self) -> list[Record]:
        """
        Take out what was emitted since the last time.

        Each record has ``name``, ``value``, ``unit``, ``type``, ``dimensions`` (pairs), ``request_id`` and
        ``timestamp`` (seconds since the epoch). Other threads may go on emitting meanwhile.
        """
        count = len(self._records)
        records = self._records[:count]
        del self._records[:count]
        return records

    @property
    def cache(self) -> dict[MetricTypes, dict[str, CachingMetric]]:
        """The known metrics by type and name, those of the ``metrics.yaml`` among them."""
        if self._undeclared:
            declarations = read_model_metrics(self._undeclared[0])
            self._undeclared.clear()
            for name, unit, labels, kind in declarations:
                metric = CachingMetric(name, unit, labels, kind, emit=self.emit)
                self._metrics.setdefault(kind, {}).setdefault(name, metric)
        return self._metrics

    def initialize_cache(self) -> None:
        """Read the declared metrics now rather than when the first value comes."""
        _ = self.cache

    def emit(self, record: Record) -> None:
        """Keep a value until the loop drains it."""
        record["timestamp"] = self._now()
        self._records.append(record)
