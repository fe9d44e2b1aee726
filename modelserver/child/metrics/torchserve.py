"""What a handler counts: TorchServe's metrics API, kept as records until the worker's loop drains them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from copy import copy

from modelserver.child.metrics.declared import read_model_metrics
from modelserver.child.metrics.types import (
    LEVEL,
    MODEL,
    Dimension,
    MetricsCacheKeyError,
    MetricsCacheTypeError,
    MetricsCacheValueError,
    MetricTypes,
    Record,
    RequestIds,
    check_unit,
    joined_ids,
    plain_number,
)
from modelserver.protocol.metric_units import SIZE_UNITS, TIME_UNITS

Emit = Callable[[Record], None]

log = logging.getLogger(__name__)


class CachingMetric:
    """
    A metric with a fixed type and fixed label names, of which values can be given at any time.

    :param dimension_names: the names of its labels, in the order in which their values will come.
    :param emit: receives each value; one that belongs to no cache keeps its values to itself.
    """

    def __init__(
        self,
        metric_name: str,
        unit: str,
        dimension_names: Sequence[str] | None = None,
        metric_type: MetricTypes = MetricTypes.COUNTER,
        *,
        emit: Emit | None = None,
    ) -> None:
        self.metric_name = metric_name
        self.unit = unit
        self.dimension_names = list(dimension_names or ())
        self.metric_type = metric_type
        self._emit = emit

    def add_or_update(
        self, value: float, dimension_values: Sequence[object] = (), request_id: str = ""
    ) -> None:
        """
        Emit a value; one that does not fit the metric is logged and dropped, so that no request fails by it.

        :param dimension_values: one for each of ``dimension_names``.
        """
        try:
            number = self._checked(value, dimension_values)
        except ValueError as refusal:
            log.error("[METRICS]Failed to update metric with name:%s: %s", self.metric_name, refusal)
            return
        if self._emit is not None:
            self._emit(
                {
                    "name": self.metric_name,
                    "value": number,
                    "unit": self.unit,
                    "type": self.metric_type.value,
                    "dimensions": [
                        [str(name), str(label)]
                        for name, label in zip(self.dimension_names, dimension_values, strict=True)
                    ],
                    "request_id": request_id,
                }
            )

    def update(self, value: float, request_id: str = "", dimensions: Sequence[Dimension] = ()) -> None:
        """Emit a value with these labels, which replace the metric's own."""
        self.dimension_names = [dimension.name for dimension in dimensions]
        self.add_or_update(value, [dimension.value for dimension in dimensions], request_id)

    def _checked(self, value: object, dimension_values: Sequence[object]) -> int | float:
        if len(dimension_values) != len(self.dimension_names):
            raise ValueError(
                f"the labels {self.dimension_names} do not fit the values {list(dimension_values)}"
            )
        number = plain_number(value)
        if self.metric_type is MetricTypes.COUNTER and number < 0:
            raise ValueError(f"a counter cannot go down ({value})")
        return number


class HandlerMetrics:
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
        self.model_name = model_name
        self.config_file_path = config_file_path
        self.request_ids: RequestIds | str | None = None
        self.store: list[object] = []
        """Stays empty, as TorchServe's: handlers written for MMS walk over it."""
        self._ids: Callable[[], RequestIds | None] | None = None
        self._now = now
        self._records: list[Record] = []
        self._metrics: dict[MetricTypes, dict[str, CachingMetric]] = {}
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
                metric = CachingMetric(name, unit, labels, kind, emit=self._keep)
                self._metrics.setdefault(kind, {}).setdefault(name, metric)
        return self._metrics

    def initialize_cache(self) -> None:
        """Read the declared metrics now rather than when the first value comes."""
        _ = self.cache

    def cache_keys(self) -> list[str]:
        """The known metrics as ``type:name``."""
        return [f"{kind.value}:{name}" for kind, metrics in self.cache.items() for name in metrics]

    def get_metric(self, metric_name: str, metric_type: MetricTypes = MetricTypes.COUNTER) -> CachingMetric:
        """
        A metric that was declared or added before.

        :raises MetricsCacheKeyError: there is none of this name and type.
        """
        try:
            return self.cache[metric_type][metric_name]
        except KeyError:
            raise MetricsCacheKeyError(
                f"Metric of type '{metric_type}' and name '{metric_name}' doesn't exist"
            ) from None

    def add_metric_to_cache(
        self,
        metric_name: str,
        unit: str,
        dimension_names: Sequence[str] = (),
        metric_type: MetricTypes = MetricTypes.COUNTER,
    ) -> CachingMetric:
        """
        Make a metric known, with exactly these labels; nothing is emitted yet.

        :raises MetricsCacheTypeError: an argument has a wrong type.
        """
        _check_type("metric_name", metric_name, str)
        _check_type("unit", unit, str)
        _check_type("dimension_names", dimension_names, list | tuple)
        _check_type("metric_type", metric_type, MetricTypes)
        metric = CachingMetric(metric_name, unit, dimension_names, metric_type, emit=self._keep)
        known = self._metrics.setdefault(metric_type, {})
        if metric_name in known:
            log.warning("Overriding existing key %s:%s", metric_type, metric_name)
        known[metric_name] = metric
        return metric

    def add_metric(
        self,
        name: str,
        value: float,
        unit: str,
        idx: int | None = None,
        dimensions: Sequence[Dimension] | None = None,
        metric_type: MetricTypes = MetricTypes.COUNTER,
    ) -> None:
        """
        Emit a value, with the labels ``ModelName`` and ``Level`` added where missing.

        :param idx: the place of its request in the batch; None for all.
        """
        labels = list(dimensions or ())
        present = {label.name for label in labels}
        if MODEL not in present:
            labels.append(Dimension(MODEL, self.model_name))
        if LEVEL not in present:
            labels.append(Dimension(LEVEL, "Model"))
        self._update(name, value, unit, idx, labels, metric_type)

    def add_counter(
        self, name: str, value: float, idx: int | None = None, dimensions: Sequence[Dimension] | None = None
    ) -> None:
        """Add to a counter."""
        self.add_metric(name, value, "count", idx, dimensions, MetricTypes.COUNTER)

    def add_time(
        self,
        name: str,
        value: float,
        idx: int | None = None,
        unit: str = "ms",
        dimensions: Sequence[Dimension] | None = None,
        metric_type: MetricTypes = MetricTypes.GAUGE,
    ) -> None:
        """
        Emit a duration in ``unit``, ms or s.

        :raises MetricsCacheValueError: it is another unit.
        """
        check_unit(unit, TIME_UNITS, "timed", MetricsCacheValueError)
        self.add_metric(name, value, unit, idx, dimensions, metric_type)

    def add_size(
        self,
        name: str,
        value: float,
        idx: int | None = None,
        unit: str = "MB",
        dimensions: Sequence[Dimension] | None = None,
        metric_type: MetricTypes = MetricTypes.GAUGE,
    ) -> None:
        """
        Emit a size in ``unit``: MB, kB, GB or B.

        :raises ValueError: it is another unit.
        """
        check_unit(unit, SIZE_UNITS, "size", MetricsCacheValueError)
        self.add_metric(name, value, unit, idx, dimensions, metric_type)

    def add_percent(
        self,
        name: str,
        value: float,
        idx: int | None = None,
        dimensions: Sequence[Dimension] | None = None,
        metric_type: MetricTypes = MetricTypes.GAUGE,
    ) -> None:
        """Emit a percentage."""
        self.add_metric(name, value, "percent", idx, dimensions, metric_type)

    def add_error(self, name: str, value: float, dimensions: Sequence[Dimension] | None = None) -> None:
        """Count an error, for no request in particular; a label ``Level`` goes before the usual ``Error``."""
        labels = list(dimensions or ())
        if LEVEL not in {label.name for label in labels}:
            labels.append(Dimension(LEVEL, "Error"))
        self._update(name, value, "", None, labels, MetricTypes.COUNTER, named=False)

    def _update(
        self,
        name: str,
        value: float,
        unit: str,
        idx: int | None,
        labels: Sequence[Dimension],
        metric_type: MetricTypes,
        named: bool = True,
    ) -> None:
        _check_type("metric_type", metric_type, MetricTypes)
        # Not by way of ``cache``: the first request shall not wait for a YAML file to be read.
        metric = self._metrics.get(metric_type, {}).get(name)
        if metric is None:
            metric = self.add_metric_to_cache(name, unit, [label.name for label in labels], metric_type)
        ids = (self._ids() if self._ids is not None else self.request_ids) if named else None
        metric.add_or_update(value, [label.value for label in labels], joined_ids(ids, idx))

    def _keep(self, record: Record) -> None:
        record["timestamp"] = self._now()
        self._records.append(record)


def _check_type(name: str, value: object, expected: object) -> None:
    if not isinstance(value, expected):  # type: ignore[arg-type]  # a class or a union of classes
        raise MetricsCacheTypeError(f"`{name}` has the wrong type {type(value).__name__}")
