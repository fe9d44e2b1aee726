"""How many requests come to a version, and how long its calls take; counted where autoscaling asks."""

from __future__ import annotations

from attrs import field

from modelserver.language.attributes import define

WEIGHT = 32
"""Calls over which a mean is taken, roughly: later ones weigh more."""
FIRST = 8
"""Calls of which the fastest counts alone: those that come first are often slow."""
OUTLIER = 4.0
"""Times the mean as which a call counts at most: one that is late says nothing about the others."""


@define(eq=False)
class CallTime:
    """
    The time that calls of a handler take which have equally many jobs.

    :param mean: seconds.
    :param spread: the variance of the seconds, as a multiple of the square of the mean.
    """

    mean: float
    spread: float = 0.0
    _calls: int = 0

    def learn(self, seconds: float, calls: int) -> None:
        """Count ``calls`` that took ``seconds`` each, on the average."""
        self._calls += calls
        if self._calls <= FIRST:
            self.mean = min(self.mean, seconds)
            return
        share = min(1.0, calls / WEIGHT)
        off = min(seconds, OUTLIER * self.mean) - self.mean
        if self.mean > 0:
            self.spread += (calls * (off / self.mean) ** 2 - self.spread) * share
        self.mean += off * share


@define(eq=False)
class Demand:
    """
    The requests that came, and the time that they take.

    :param arrived: requests so far, those that were refused included.
    :param times: how long calls of the handler take, by the jobs of each.
    :param load: seconds that a worker took to load, the last that did; None before.
    """

    arrived: int = field(default=0, init=False)
    times: dict[int, CallTime] = field(factory=dict, init=False)
    load: float | None = field(default=None, init=False)

    def came_back(self, jobs: int, calls: int, seconds: float) -> None:
        """Count calls of the handler that came back, with all their jobs and seconds together."""
        size = max(1, round(jobs / calls))
        time = self.times.get(size)
        if time is None:
            time = self.times[size] = CallTime(seconds / calls)
        time.learn(seconds / calls, calls)
