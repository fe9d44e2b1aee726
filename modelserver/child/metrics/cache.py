"""TorchServe's metrics API: what handlers call, whatever becomes of the values."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from modelserver.child.metrics.caching import CachingMetric, Emit
from modelserver.child.metrics.types import (
    LEVEL,
    MODEL,
    Dimension,
    MetricsCacheKeyError,
    MetricsCacheTypeError,
    MetricTypes,
    RequestIds,
    check_size_unit,
    check_time_unit,
    joined_ids,
)

log = logging.getLogger(__name__)

_NAME, _UNIT = ("`metric_name` must be a str", str), ("`unit` must be a str", str)
_TYPE = "`metric_type` must be a MetricTypes enum", MetricTypes
_LABELS = "`dimension_names` should be a list of dimension name strings", list | tuple


class MetricsCache:
    """
    Metrics by type and name, and helpers that emit values of them.

    Values that belong to no request have the labels of errors, as in TorchServe.

    :param config_file_path: a ``metrics.yaml``, or None.
    :param model_name: for the label ``ModelName``.
    """

    emit: Emit | None = None
    """Receives all values, in a subclass; None: they are the values of ``unowned``."""

    def __init__(self, config_file_path: str | None, model_name: str | None = None) -> None:
        self.model_name = model_name
        self.config_file_path = config_file_path
        self.request_ids: RequestIds | str | None = None
        self.store: list[object] = []
        """Stays empty, as TorchServe's: handlers written for MMS walk over it."""
        self._metrics: dict[MetricTypes, dict[str, CachingMetric]] = {}

    def set_request_ids(self, request_ids: RequestIds | str) -> None:
        """Say whose values come next."""
        self.request_ids = request_ids

    def ids(self) -> RequestIds | str | None:
        """The ids of the requests in hand; None: the next value belongs to none."""
        return self.request_ids

    @property
    def cache(self) -> dict[MetricTypes, dict[str, CachingMetric]]:
        """The known metrics by type and name."""
        return self._metrics

    def cache_keys(self) -> list[str]:
        """The known metrics as ``type:name``."""
        return [f"{kind.value}:{name}" for kind, metrics in self.cache.items() for name in metrics]

    def get_metric(self, metric_name: str, metric_type: MetricTypes = MetricTypes.COUNTER) -> CachingMetric:
        """
        A metric that was declared or added before.

        :raises MetricsCacheKeyError: there is none of this name and type.
        :raises MetricsCacheTypeError: an argument has a wrong type.
        """
        _check(metric_name, _NAME)
        _check(metric_type, _TYPE)
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
        for value, expected in (
            (metric_name, _NAME),
            (unit, _UNIT),
            (metric_type, _TYPE),
            (dimension_names, _LABELS),
        ):
            _check(value, expected)
        metric = CachingMetric(metric_name, unit, dimension_names, metric_type, emit=self.emit)
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
        labels = _own_list(dimensions)
        present = {label.name for label in labels}
        ids = self.ids()
        if ids is None:
            self._update(name, value, unit, _error(labels), metric_type, "")
            return
        if MODEL not in present:
            labels.append(Dimension(MODEL, self.model_name))
        if LEVEL not in present:
            labels.append(Dimension(LEVEL, "Model"))
        self._update(name, value, unit, labels, metric_type, joined_ids(ids, idx))

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
        check_time_unit(unit)
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
        check_size_unit(unit)
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
        self._update(name, value, "", _error(_own_list(dimensions)), MetricTypes.COUNTER, "")

    def _update(
        self,
        name: str,
        value: float,
        unit: str,
        labels: Sequence[Dimension],
        metric_type: MetricTypes,
        request_id: str,
    ) -> None:
        _check(metric_type, _TYPE)
        # Not by way of ``cache``: the first request shall not wait for a YAML file to be read.
        metric = self._metrics.get(metric_type, {}).get(name)
        if metric is None:
            metric = self.add_metric_to_cache(name, unit, [label.name for label in labels], metric_type)
        metric.add_or_update(value, [label.value for label in labels], request_id)


def _own_list(dimensions: Sequence[Dimension] | None) -> list[Dimension]:
    """
    The labels in a list that may grow: a handler's own list does, as in TorchServe.

    Handlers give the values of that list to ``add_or_update`` of the same metric afterwards.
    """
    return dimensions if isinstance(dimensions, list) else list(dimensions or ())


def _error(labels: list[Dimension]) -> list[Dimension]:
    """The labels of a value that belongs to no request."""
    if LEVEL not in {label.name for label in labels}:
        labels.append(Dimension(LEVEL, "Error"))
    return labels


def _check(value: object, expected: tuple[str, object]) -> None:
    text, kind = expected
    if not isinstance(value, kind):  # type: ignore[arg-type]  # a class or a union of classes
        raise MetricsCacheTypeError(text)
