"""The last minutes of what was counted: rates and quantiles of a window, and points for charts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from attrs import field
from twisted.internet.interfaces import IReactorTime

from modelserver.language.attributes import define, frozen
from modelserver.metrics.figures import NO_SECONDS, Counts, Figures, VersionKey, added
from modelserver.metrics.tallies import SECONDS

STEP = 5.0
"""Seconds between two points."""
KEPT = 300.0
"""Seconds that quantiles and charts look back."""
QUANTILES = (0.5, 0.95, 0.99)


@frozen
class HistoryPoint:
    """
    What was counted up to an instant.

    :param at: the clock's seconds (monotonic).
    :param versions: finished requests by their seconds.
    :param total: the same of all versions together.
    :param refusals: refused requests by model and cause.
    """

    at: float
    versions: Mapping[VersionKey, Counts]
    total: Counts
    refusals: Mapping[tuple[str, str], int]


@frozen
class ChartPoint:
    """
    A step of a chart.

    :param at: its end, in the clock's seconds (monotonic).
    :param rate: requests that were finished in a second.
    :param quantiles: the seconds that these requests took, None where there was none.
    """

    at: float
    rate: float
    quantiles: Sequence[float | None]


@define(eq=False)
class History:
    """
    Keeps a point every ``STEP`` seconds, taken from numbers that are counted anyway.

    :param read: returns what was counted so far.
    :param noted: how many points were kept so far.
    """

    clock: IReactorTime
    read: Callable[[], Figures]
    noted: int = field(default=0, init=False)
    _points: deque[HistoryPoint] = field(factory=lambda: deque(maxlen=int(KEPT / STEP) + 1), init=False)

    def note(self) -> None:
        """Keep a point of this instant."""
        self._points.append(self.point(self.read()))
        self.noted += 1

    def point(self, figures: Figures) -> HistoryPoint:
        """Return the point of this instant, which is not kept; equal counts are shared with the last one."""
        last: Mapping[VersionKey, Counts] = self._points[-1].versions if self._points else {}
        versions = {}
        for key, each in figures.versions.items():
            before = last.get(key)
            versions[key] = before if before is not None and before == each.requests else each.requests
        return HistoryPoint(self.clock.seconds(), versions, total_of(versions.values()), figures.refusals)

    def back(self, seconds: float) -> HistoryPoint | None:
        """Return the newest point that is at least so many seconds old, else the oldest, if there is one."""
        latest = self.clock.seconds() - seconds
        found = next((point for point in reversed(self._points) if point.at <= latest), None)
        return found or (self._points[0] if self._points else None)

    def chart(self, key: VersionKey | None, last: int | None = None) -> Iterator[ChartPoint]:
        """
        Return the steps of the last minutes; the one that has begun is not among them.

        :param key: a model and its version; None: all together.
        :param last: how many steps, the newest ones; None: all.
        """
        points = list(self._points)
        for start, end in pairwise(points if last is None else points[-last - 1 :]):
            if end.at > start.at:
                counts = grown(counts_of(end, key), counts_of(start, key))
                yield ChartPoint(end.at, sum(counts) / (end.at - start.at), quantiles(counts))


def total_of(versions: Iterable[Counts]) -> Counts:
    """Return the sum of the counts of versions."""
    total = NO_SECONDS
    for counts in versions:
        if any(counts):
            total = added(total, counts)
    return total


def counts_of(point: HistoryPoint | None, key: VersionKey | None) -> Counts:
    """Return what a point has of a version, or of all (None)."""
    if point is None:
        return NO_SECONDS
    return point.total if key is None else point.versions.get(key, NO_SECONDS)


def grown(now: Counts, before: Counts) -> Counts:
    """Return what was counted between two points; a version that is new since then began at nothing."""
    if now is before:
        return NO_SECONDS
    if any(new < old for new, old in zip(now, before, strict=True)):
        return now
    return tuple(new - old for new, old in zip(now, before, strict=True))


def quantiles(counts: Counts) -> Sequence[float | None]:
    """
    Return the ``QUANTILES`` in seconds, as ``histogram_quantile`` of Prometheus finds them.

    https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile
    """
    total = sum(counts)
    return tuple(None if not total else _quantile(counts, share * total) for share in QUANTILES)


def _quantile(counts: Counts, rank: float) -> float:
    seen, lower = 0, 0.0
    for bound, count in zip(SECONDS, counts, strict=False):
        if count and seen + count >= rank:
            return lower + (bound - lower) * (rank - seen) / count
        seen, lower = seen + count, bound
    return SECONDS[-1]
