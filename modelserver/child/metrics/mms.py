"""Metrics that add up over a batch: Multi Model Server's API, and TorchServe's older one of the same kind."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from json import JSONEncoder

from modelserver.child.metrics.types import (
    LEVEL,
    MODEL,
    Dimension,
    MetricTypes,
    Record,
    RequestIds,
    check_size_unit,
    check_time_unit,
    joined_ids,
    plain_number,
)
from modelserver.protocol.metric_units import UNIT_NAMES

COUNTER = "counter"


class Units:
    """The long names of units."""

    def __init__(self) -> None:
        self.units: dict[str | None, str] = {None: UNIT_NAMES[""]}
        self.units.update(UNIT_NAMES)


class Metric:
    """
    One value with its labels, as it stands now.

    :param metric_method: ``counter`` if values add up, else a new value replaces the old one.
    """

    def __init__(
        self,
        name: str,
        value: float | str,
        unit: str | None,
        dimensions: Sequence[Dimension],
        request_id: str | None = None,
        metric_method: str | None = None,
    ) -> None:
        self.name = name
        self.value = value
        self.unit = Units().units.get(unit, unit or "unit")
        self.dimensions = list(dimensions)
        self.request_id = request_id
        self.metric_method = metric_method
        self.timestamp = int(time.time())

    def update(self, value: float) -> None:
        """Add to a counter, or set anything else."""
        if self.metric_method == COUNTER and not isinstance(self.value, str):
            self.value += value
        else:
            self.value = value

    def reset(self) -> None:
        """Start again from zero."""
        self.value = 0

    def __str__(self) -> str:
        labels = ",".join(str(dimension) for dimension in self.dimensions)
        ids = f",{self.request_id}" if self.request_id else ""
        host = socket.gethostname()
        return f"{self.name}.{self.unit}:{self.value}|#{labels}|#hostname:{host},{self.timestamp}{ids}"

    def to_dict(self) -> dict[str, object]:
        """The value as the peers' JSON shows it."""
        return {
            "MetricName": self.name,
            "Value": self.value,
            "Unit": self.unit,
            "Dimensions": self.dimensions,
            "Timestamp": self.timestamp,
            "HostName": socket.gethostname(),
            "RequestId": self.request_id,
        }

    def to_record(self) -> Record:
        """The value as the worker's loop sends it; what is no number is a text, as the peers write it."""
        value: int | float | str
        try:
            value = plain_number(self.value)
        except ValueError:
            value = str(self.value)
        return {
            "name": str(self.name),
            "value": value,
            "unit": str(self.unit),
            "type": (MetricTypes.COUNTER if self.metric_method == COUNTER else MetricTypes.GAUGE).value,
            "dimensions": [[str(dimension.name), str(dimension.value)] for dimension in self.dimensions],
            "request_id": self.request_id or "",
            "timestamp": self.timestamp,
        }


class MetricEncoder(JSONEncoder):
    """Puts metrics and their labels into JSON."""

    def default(self, o: object) -> object:
        """The dict of a metric or label."""
        return o.to_dict() if isinstance(o, Metric | Dimension) else super().default(o)


class MetricsStore:
    """
    What a handler counted for the requests in hand; a counter's values add up until they are drained.

    ``metric`` is the class of its metrics.

    :param request_ids: the ids by place in the batch, or one id of any kind.
    :param model_name: for the label ``ModelName``.
    """

    metric: type[Metric] = Metric

    def __init__(self, request_ids: RequestIds | object, model_name: str) -> None:
        self.request_ids = request_ids
        self.model_name = model_name
        self.store: list[Metric] = []
        self.cache: dict[str, Metric] = {}
        self._ids: Callable[[], RequestIds | None] | None = None

    def follow(self, ids: Callable[[], RequestIds | None]) -> None:
        """Take the ids of the requests in hand from ``ids`` whenever one is needed, if none were given."""
        if not self.request_ids:
            self._ids = ids

    def drain(self) -> list[Record]:
        """Take out what was counted since the last time, in the form of ``HandlerMetrics.drain``."""
        metrics, self.store, self.cache = self.store, [], {}
        return [metric.to_record() for metric in metrics]

    def add_counter(
        self, name: str, value: float, idx: int | None = None, dimensions: Sequence[Dimension] | None = None
    ) -> None:
        """Add to a counter."""
        self._count(name, value, idx, "count", dimensions, COUNTER)

    def add_time(
        self,
        name: str,
        value: float,
        idx: int | None = None,
        unit: str = "ms",
        dimensions: Sequence[Dimension] | None = None,
    ) -> None:
        """
        Set a duration in ``unit``, ms or s.

        :raises ValueError: it is another unit.
        """
        check_time_unit(unit)
        self._count(name, value, idx, unit, dimensions)

    def add_size(
        self,
        name: str,
        value: float,
        idx: int | None = None,
        unit: str = "MB",
        dimensions: Sequence[Dimension] | None = None,
    ) -> None:
        """
        Set a size in ``unit``: MB, kB, GB or B.

        :raises ValueError: it is another unit.
        """
        check_size_unit(unit)
        self._count(name, value, idx, unit, dimensions)

    def add_percent(
        self, name: str, value: float, idx: int | None = None, dimensions: Sequence[Dimension] | None = None
    ) -> None:
        """Set a percentage."""
        self._count(name, value, idx, "percent", dimensions)

    def add_error(self, name: str, value: str, dimensions: Sequence[Dimension] | None = None) -> None:
        """Keep an error's text, at the level ``Error`` and for no request in particular."""
        self._add(name, value, None, "", [*(dimensions or ()), Dimension(LEVEL, "Error")], None)

    def add_metric(
        self,
        name: str,
        value: float,
        unit: str,
        idx: int | None = None,
        dimensions: Sequence[Dimension] | None = None,
    ) -> None:
        """Set a value with a unit of one's own."""
        self._count(name, value, idx, unit, dimensions)

    def _count(
        self,
        name: str,
        value: float,
        idx: int | None,
        unit: str | None,
        dimensions: Sequence[Dimension] | None,
        method: str | None = None,
    ) -> None:
        if self._ids is None and self.request_ids is None:
            # It belongs to no request, as an error does.
            self._add(name, value, None, unit, [*(dimensions or ()), Dimension(LEVEL, "Error")], method)
            return
        labels = [*(dimensions or ()), Dimension(MODEL, self.model_name), Dimension(LEVEL, "Model")]
        ids = self._ids() if self._ids is not None else self.request_ids
        self._add(name, value, joined_ids(ids, idx), unit, labels, method)

    def _add(
        self,
        name: str,
        value: float | str,
        request_id: str | None,
        unit: str | None,
        labels: Sequence[Dimension],
        method: str | None,
    ) -> None:
        key = "-".join([name, str(unit), str(request_id), *map(str, labels)])
        metric = self.cache.get(key)
        if metric is None:
            metric = self.cache[key] = self.metric(name, value, unit, labels, request_id, method)
            self.store.append(metric)
        else:
            metric.update(value)  # type: ignore[arg-type]  # an error's text replaces the last one


class MmsMetricsStore(MetricsStore):
    """The store as Multi Model Server's handlers know it: ``idx`` comes before ``unit``."""

    def add_metric(  # type: ignore[override]  # the peers differ in the order
        self,
        name: str,
        value: float,
        idx: int | None = None,
        unit: str | None = None,
        dimensions: Sequence[Dimension] | None = None,
    ) -> None:
        """Set a value with a unit of one's own."""
        self._count(name, value, idx, unit, dimensions)
