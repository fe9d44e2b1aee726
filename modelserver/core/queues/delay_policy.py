"""
How long a batch that is not full should wait for others, where the server is to choose: arithmetic alone.

What is known is how long the handler takes for batches of each size, and how many jobs came, on the average,
within so long of earlier moments in which a batch could have left. Waiting costs each job that is there; it
saves those that come in time from waiting until the handler is through with a batch that left without them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import field

from modelserver.language.attributes import define

WINDOWS = (0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064)
"""Seconds that a batch may wait."""
LEAST_GAIN = 0.05
"""The share of all jobs' time that a wait has to save, so that noise alone does not bring one about."""
_FEWEST = 0.5
"""Jobs that have to come in the mean: of fewer, most waits would bring none."""
_FORGETS, _LEARNS = 0.95, 0.25
"""What is left of the weight of handler times after one more; the weight of the last count of arrivals."""

Seconds = Callable[[float], float]
"""Return the seconds of a call of the handler, for a batch of so many jobs."""


@define
class HandlerTimes:
    """
    A line through the times of calls by their sizes, ``fixed + each * size``, in which late calls weigh more.

    Neither part is negative: where only one size was seen, all sizes are taken to need the same.
    """

    _weight: float = field(default=0.0, init=False)
    _size: float = field(default=0.0, init=False)
    _seconds: float = field(default=0.0, init=False)
    _size_size: float = field(default=0.0, init=False)
    _size_seconds: float = field(default=0.0, init=False)

    @property
    def is_known(self) -> bool:
        """Whether there was a call."""
        return self._weight > 0

    def learn(self, size: float, seconds: float) -> None:
        """Take in a call for ``size`` jobs."""
        self._weight = self._weight * _FORGETS + 1
        self._size = self._size * _FORGETS + size
        self._seconds = self._seconds * _FORGETS + seconds
        self._size_size = self._size_size * _FORGETS + size * size
        self._size_seconds = self._size_seconds * _FORGETS + size * seconds

    def of(self, size: float) -> float:
        """Return the seconds of a call for ``size`` jobs; 0 while there was none."""
        if not self.is_known:
            return 0.0
        mean_size, mean = self._size / self._weight, self._seconds / self._weight
        variance = self._size_size / self._weight - mean_size**2
        together = self._size_seconds / self._weight - mean_size * mean
        each = together / variance if variance > 1e-6 * mean_size**2 else 0.0
        # With at least 0 for each, and at least 0 that is fixed.
        each = min(max(each, 0.0), mean / mean_size)
        return max(0.0, mean + each * (size - mean_size))


@define
class FollowUps:
    """How many jobs come within each of ``WINDOWS`` of a moment; averages in which late counts weigh more."""

    means: list[float] = field(factory=lambda: [0.0] * len(WINDOWS), init=False)

    def learn(self, counts: Sequence[int]) -> None:
        """Take in how many came, by window."""
        self.means = [mean + (count - mean) * _LEARNS for mean, count in zip(self.means, counts, strict=True)]


def counts_within(opened: float, arrivals: Sequence[float]) -> list[int]:
    """
    Count the arrivals behind a moment, by window.

    :param opened: the moment; it and the arrivals are seconds on the same clock.
    """
    after = [arrived - opened for arrived in arrivals if arrived > opened]
    return [sum(late <= window for late in after) for window in WINDOWS]


def best_wait(
    waiting: int, most: int, seconds: Seconds, coming: Sequence[float], share: float = 1.0
) -> float:
    """
    Return the seconds that a batch should wait for others: 0, or one of ``WINDOWS``.

    :param waiting: the jobs that are there.
    :param most: the jobs that a batch can have.
    :param coming: how many more come, by window.
    :param share: of the handler's time, what a job waits that comes while all workers are busy: less with
        more workers.
    """
    now = seconds(waiting)
    best, best_gain = 0.0, LEAST_GAIN
    for window, count in zip(WINDOWS, coming, strict=True):
        more = min(count, float(most - waiting))
        if window >= now or more < _FEWEST:
            continue
        late = window / 2  # when those who come have come, in the mean
        # The time of all these jobs until their answers: if the batch leaves now, and if it waits.
        without = waiting * now + more * (max(0.0, now * share - late) + seconds(max(1.0, more)))
        together = seconds(waiting + more)
        waited = waiting * (window + together) + more * (window - late + together)
        gain = 1 - waited / without if without > 0 else 0.0
        if gain > best_gain:
            best, best_gain = window, gain
    return best
