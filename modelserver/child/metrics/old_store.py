"""TorchServe's metrics of before 0.7: no context has them, and their values do not add up."""

from __future__ import annotations

from collections.abc import Sequence

from modelserver.child.metrics.caching import CachingMetric
from modelserver.child.metrics.mms import Metric, MetricsStore
from modelserver.child.metrics.types import Dimension, MetricTypes


class OldMetric(Metric):
    """
    A value that stays as it is; each new one is a value of a counter without a context.

    :param metric_method: kept, and of no use.
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
        super().__init__(name, value, unit, dimensions, request_id, metric_method)
        self.metric_type = MetricTypes.COUNTER
        self.dimension_names = [label.name for label in dimensions]
        self.dimension_values = [label.value for label in dimensions]
        self._counter = CachingMetric(name, unit or "", self.dimension_names)

    def update(self, value: float) -> None:
        """Emit another value."""
        self._counter.add_or_update(value, self.dimension_values, self.request_id or "")

    def reset(self) -> None:
        """Emit 0."""
        self.update(0)


class OldMetricsStore(MetricsStore):
    """A handler's own store, or that of its test."""

    metric = OldMetric
