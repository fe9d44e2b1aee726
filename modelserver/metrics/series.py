"""Numbers by labels: the counters, gauges and histograms that the request path updates."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import isnan
from typing import Any, Protocol

from attrs import field
from twisted.logger import Logger

from modelserver.language.attributes import define
from modelserver.metrics.declarations import COUNTER, GAUGE, Declaration

Labels = tuple[str, ...]
"""The values of a series' labels, in the order of their names; the host's name is not among them."""

# The default buckets of the Java client library, which TorchServe uses.
DEFAULT_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)

# A handler that puts a request's id into a label must not fill the memory.
MOST_SERIES = 10_000

_log = Logger()


class Family(Protocol):
    """All series of one metric."""

    @property
    def declaration(self) -> Declaration:
        """Return its name, type, unit and the names of its labels."""

    def update(self, labels: Labels, value: float) -> None:
        """Add to a counter, set a gauge, observe for a histogram."""

    def forget(self, has_left: Callable[[Labels], bool]) -> None:
        """Drop the series with such labels."""

    def samples(self) -> Iterator[tuple[str, Labels, str, float]]:
        """
        Each sample: the suffix of its name, its labels, its ``le`` label (or empty) and the number.

        Updates that come while they are read make no series contradict itself.
        """


@define(eq=False)
class _Bounded:
    """A family that keeps at most ``MOST_SERIES`` series, and logs once when there are more."""

    declaration: Declaration
    _is_full: bool = field(default=False, init=False)

    def _forget(self, values: dict[Labels, Any], has_left: Callable[[Labels], bool]) -> None:
        for labels in [each for each in values if has_left(each)]:
            del values[labels]
        self._is_full = self._is_full and len(values) >= MOST_SERIES

    def _has_room(self, count: int) -> bool:
        if count < MOST_SERIES:
            return True
        if not self._is_full:
            self._is_full = True
            _log.warn("{metric} has too many series, new ones are not kept", metric=self.declaration.name)
        return False


@define(eq=False)
class Counter(_Bounded):
    """Sums that only grow."""

    values: dict[Labels, float] = field(factory=dict, init=False)

    def update(self, labels: Labels, value: float) -> None:
        """Add ``value``, unless it is negative."""
        if value >= 0:
            try:
                self.values[labels] += value
            except KeyError:
                if self._has_room(len(self.values)):
                    self.values[labels] = value

    def forget(self, has_left: Callable[[Labels], bool]) -> None:
        """Drop the series with such labels."""
        self._forget(self.values, has_left)

    def samples(self) -> Iterator[tuple[str, Labels, str, float]]:
        """Return one sample for each series."""
        for labels, value in list(self.values.items()):
            yield "", labels, "", value

    def take(self) -> dict[Labels, float]:
        """Return what was added since the last call, and start again from nothing."""
        taken, self.values = self.values, {}
        return taken


@define(eq=False)
class Gauge(_Bounded):
    """The last value of each series."""

    values: dict[Labels, float] = field(factory=dict, init=False)

    def update(self, labels: Labels, value: float) -> None:
        """Set the series to ``value``."""
        if labels in self.values or self._has_room(len(self.values)):
            self.values[labels] = value

    def keep(self, wanted: Iterable[Labels]) -> None:
        """Forget the series that are not wanted any more."""
        for labels in set(self.values).difference(wanted):
            del self.values[labels]

    def forget(self, has_left: Callable[[Labels], bool]) -> None:
        """Drop the series with such labels."""
        self._forget(self.values, has_left)

    def samples(self) -> Iterator[tuple[str, Labels, str, float]]:
        """Return one sample for each series."""
        for labels, value in list(self.values.items()):
            yield "", labels, "", value

    def take(self) -> dict[Labels, float]:
        """Return what was set since the last call, and start again from nothing."""
        taken, self.values = self.values, {}
        return taken


@define(eq=False)
class Observations:
    """
    One series of a histogram.

    :param counts: how many values each bucket got: those that its bound is the first not to be below.
    :param total: the sum of all values.
    """

    bounds: Sequence[float]
    counts: list[int] = field(init=False)
    total: float = field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def observe(self, values: Sequence[float]) -> None:
        """Count values, of which none is not a number."""
        counts, bounds = self.counts, self.bounds
        for value in values:
            counts[bisect_left(bounds, value)] += 1
        self.total += sum(values)

    def add(self, other: Observations) -> None:
        """Add what another series with the same bounds has counted."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.total += other.total


@define(eq=False)
class Histogram(_Bounded):
    """The distribution of values, in buckets."""

    bounds: Sequence[float] = DEFAULT_BOUNDS
    values: dict[Labels, Observations] = field(factory=dict, init=False)

    def update(self, labels: Labels, value: float) -> None:
        """Observe ``value``, unless it is not a number."""
        series = self.values.get(labels)
        if series is None:
            if not self._has_room(len(self.values)):
                return
            series = self.values[labels] = Observations(self.bounds)
        if not isnan(value):
            series.counts[bisect_left(self.bounds, value)] += 1
            series.total += value

    def add(self, labels: Labels, observations: Observations) -> None:
        """Add what another series with the same bounds has counted."""
        series = self.values.get(labels)
        if series is None:
            if not self._has_room(len(self.values)):
                return
            series = self.values[labels] = Observations(self.bounds)
        series.add(observations)

    def forget(self, has_left: Callable[[Labels], bool]) -> None:
        """Drop the series with such labels."""
        self._forget(self.values, has_left)

    def samples(self) -> Iterator[tuple[str, Labels, str, float]]:
        """Return the cumulative buckets, the count and the sum of each series."""
        for labels, series in list(self.values.items()):
            seen, counts, total = 0, tuple(series.counts), series.total
            for bound, count in zip(self.bounds, counts, strict=False):
                seen += count
                yield "_bucket", labels, repr(float(bound)), seen
            seen += counts[-1]
            yield "_bucket", labels, "+Inf", seen
            yield "_count", labels, "", seen
            yield "_sum", labels, "", total


def new_family(declaration: Declaration) -> Counter | Gauge | Histogram:
    """Return an empty family of the declared type."""
    if declaration.kind == COUNTER:
        return Counter(declaration)
    if declaration.kind == GAUGE:
        return Gauge(declaration)
    return Histogram(declaration)
