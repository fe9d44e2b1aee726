"""The metrics that the front ends of TorchServe and MMS have: declared ones, for the endpoint or the log."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from attrs import field
from twisted.logger import Logger

from modelserver.language.attributes import define
from modelserver.metrics.command_sampler import Reported
from modelserver.metrics.declarations import Declaration
from modelserver.metrics.exposition import Exposed, is_exposable, peers_help
from modelserver.metrics.log_lines import MetricLog
from modelserver.metrics.series import Counter, Family, Gauge, Histogram, Labels, new_family

Update = Callable[[Labels, float], None]

INFERENCE_METRICS = (
    "ts_inference_requests_total",
    "ts_inference_latency_microseconds",
    "ts_queue_latency_microseconds",
)

# How many labels the server gives to each of its metrics, without the host's name.
_LABEL_COUNTS: Mapping[str, int] = {
    **dict.fromkeys(("Requests2XX", "Requests4XX", "Requests5XX", "QueueTime", "WorkerThreadTime"), 1),
    **dict.fromkeys(("CPUUtilization", "MemoryUsed", "MemoryAvailable", "MemoryUtilization"), 1),
    **dict.fromkeys(("DiskUsage", "DiskAvailable", "DiskUtilization"), 1),
    **dict.fromkeys(("GPUMemoryUtilization", "GPUMemoryUsed", "GPUUtilization"), 2),
    **dict.fromkeys(("WorkerLoadTime", "PredictionTime"), 2),
    **dict.fromkeys(INFERENCE_METRICS, 2),
}

# A program that makes up names must not fill the memory.
MOST_UNDECLARED = 1_000

_log = Logger()


def _ignore(labels: Labels, value: float) -> None:
    """Nothing: the metric is not declared."""


@define(eq=False)
class TorchServeMetrics:
    """
    The metrics that ``metrics.yaml`` declares and the server itself measures, as TorchServe does.

    Those for the log are summed up between two calls of ``write_lines``: a counter's line has what was
    added since the line before, a gauge's the last value. So a high rate of requests writes no more lines
    than a low one, and sums over lines remain right.

    :param is_exposed: whether the metric of a name is for the endpoint, rather than for the log.
    """

    log: MetricLog
    is_exposed: Callable[[str], bool]
    _exposed: dict[str, Family] = field(factory=dict, init=False)
    _logged: dict[str, Counter | Gauge] = field(factory=dict, init=False)
    _updates: dict[str, Update] = field(factory=dict, init=False)
    _dimensions: dict[str, int] = field(factory=dict, init=False)
    _undeclared: set[str] = field(factory=set, init=False)

    def declare(self, declarations: Iterable[Declaration]) -> None:
        """Keep these metrics from now on, unless their labels are not the server's."""
        for declaration in declarations:
            name = declaration.name
            labels = _LABEL_COUNTS.get(name)
            if labels is not None and labels + 1 != len(declaration.dimensions):
                _log.error(
                    "Metric {metric} needs {count} dimensions, the host's name included",
                    metric=name,
                    count=labels + 1,
                )
                continue
            self._dimensions[name] = len(declaration.dimensions)
            if not self.is_exposed(name):
                self._updates[name] = self._logging(declaration)
            elif is_exposable(declaration):
                family = self._exposed[name] = new_family(declaration)
                self._updates[name] = family.update
            else:
                _log.error("Metric {metric} has a name that Prometheus refuses", metric=name)

    def _logging(self, declaration: Declaration) -> Update:
        family = new_family(declaration)
        if isinstance(family, Histogram):
            return lambda labels, value: self.log.tell(declaration, labels, value)
        self._logged[declaration.name] = family
        return family.update

    def update(self, name: str) -> Update:
        """Return what counts, sets or observes a metric; it does nothing if the metric is not declared."""
        return self._updates.get(name, _ignore)

    def report(self, value: Reported) -> None:
        """
        Count, set or observe a value from outside: by its dimensions' order, as in TorchServe.

        A value of another host keeps that host's name. What is not declared, or has other dimensions, is
        logged once by name.
        """
        wanted = self._dimensions.get(value.name)
        if wanted is not None and len(value.dimensions) + 1 == wanted:
            host = () if value.hostname == self.log.hostname else (value.hostname,)
            self.update(value.name)(value.dimensions + host, value.value)
        elif value.name not in self._undeclared and len(self._undeclared) < MOST_UNDECLARED:
            self._undeclared.add(value.name)
            _log.warn(
                "Metric {metric} with {count} dimensions is not declared in ts_metrics",
                metric=value.name,
                count=len(value.dimensions),
            )

    def keep(self, name: str, wanted: Iterable[Labels]) -> None:
        """Forget the series of an exposed gauge that are not wanted any more."""
        family = self._exposed.get(name)
        if isinstance(family, Gauge):
            family.keep(wanted)

    def names(self) -> frozenset[str]:
        """Return the names of the metrics at the endpoint."""
        return frozenset(self._exposed)

    def exposed(self, hostname: str) -> Iterator[Exposed]:
        """Return the families at the endpoint."""
        for family in self._exposed.values():
            yield Exposed(family, peers_help(family.declaration), (hostname,))

    def families(self) -> Iterable[Family]:
        """Return the families at the endpoint; those of the log keep nothing between two lines."""
        return self._exposed.values()

    def write_lines(self) -> None:
        """Write what came since the last call."""
        for family in self._logged.values():
            for labels, value in family.take().items():
                self.log.tell(family.declaration, labels, value)
