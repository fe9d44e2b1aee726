"""A version whose jobs and workers are numbers: what the judge sees of it, and what it does then."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import pairwise
from random import Random

from attrs import define, field

from modelserver.autoscale.judge import Judge, Observation
from modelserver.autoscale.policy import CallCost
from modelserver.version_settings.values import Autoscaling, WorkerRange

LOOK = 0.1
"""Seconds between two looks."""


@define
class Simulation:
    """
    Serves jobs first come, first served, and asks the judge ten times a second how many workers there are.

    :param call: seconds that a job takes.
    :param start: seconds that a worker needs to be ready.
    """

    bounds: WorkerRange
    call: float = 0.01
    start: float = 0.06
    settings: Autoscaling = field(factory=Autoscaling)
    workers: int = 1
    now: float = field(default=0.0, init=False)
    judge: Judge = field(factory=Judge, init=False)
    counts: list[tuple[float, int]] = field(factory=list, init=False)
    waits: list[tuple[float, float]] = field(factory=list, init=False)
    _free: list[float] = field(factory=list, init=False)
    _queue: deque[float] = field(factory=deque, init=False)
    _arrived: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self._free = [0.0] * self.workers
        self.counts.append((0.0, self.workers))

    def run(self, seconds: float, rate: Callable[[float], float], random: Random | None = None) -> None:
        """Let requests come, so many a second; at random times if there is chance, else evenly."""
        end, owed = self.now + seconds, 0.0
        next_look = self.now + LOOK
        step = 0.001
        while self.now < end - 1e-9:
            owed += rate(self.now) * step
            came = poisson(random, rate(self.now) * step) if random is not None else int(owed)
            owed -= came if random is None else 0
            for _ in range(came):
                self._arrived += 1
                self._queue.append(self.now)
            self._serve()
            self.now += step
            if self.now >= next_look - 1e-9:
                next_look += LOOK
                self._look()

    def _serve(self) -> None:
        while self._queue:
            worker = min(range(len(self._free)), key=self._free.__getitem__, default=None)
            if worker is None or self._free[worker] > self.now:
                return
            came = self._queue.popleft()
            self.waits.append((came, self.now - came))
            self._free[worker] = self.now + self.call

    def _look(self) -> None:
        busy = [free - self.now for free in self._free if free > self.now]
        seen = Observation(
            workers=len(self._free),
            waiting=len(self._queue),
            in_hand=len(busy),
            arrived=self._arrived,
            costs={1: CallCost(self.call)} if self.waits else {},
            loading=self.start,
        )
        load = self.judge.take_in(self.now, seen, self.settings, self.bounds)
        wanted = self.judge.decide(load, self.settings, self.bounds)
        if wanted.workers != len(self._free):
            self.counts.append((self.now, wanted.workers))
        while len(self._free) < wanted.workers:
            self._free.append(self.now + self.start)
        del self._free[wanted.workers :]

    @property
    def turns(self) -> int:
        """How often the number of workers has changed its direction."""
        numbers = [count for _, count in self.counts]
        steps = [later > before for before, later in pairwise(numbers)]
        return sum(one != other for one, other in pairwise(steps))


def poisson(random: Random, mean: float) -> int:
    """Return how many requests come by chance where so many are to be expected."""
    count, left = 0, random.expovariate(1.0)
    while left < mean:
        count += 1
        left += random.expovariate(1.0)
    return count
