"""A metric of TorchServe's kind: a fixed type and fixed label names, and values that come at any time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from modelserver.child.metrics import unowned
from modelserver.child.metrics.types import Dimension, MetricTypes, Record, plain_number
from modelserver.protocol.metric_units import UNIT_NAMES

Emit = Callable[[Record], None]

log = logging.getLogger("ts.metrics.caching_metric")


class CachingMetric:
    """
    A metric with a fixed type and fixed label names, of which values can be given at any time.

    :param dimension_names: the names of its labels, in the order in which their values will come.
    :param emit: receives each value; ``unowned`` says what becomes of those of a metric without.
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
        self.unit = UNIT_NAMES.get(unit or "", unit)
        self.dimension_names = list(dimension_names or ())
        self.metric_type = metric_type
        self._emit = unowned.emit if emit is None else emit

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
