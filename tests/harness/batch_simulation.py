"""A simulation of batches: callers who ask again, workers who take their time, and the real queue between."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define, field
from twisted.internet.task import Clock

from modelserver.core.queues.batch_queue import BatchAggregator
from modelserver.jobs import Job
from modelserver.testing.providers import make_job
from modelserver.version_settings.values import AUTO_DELAY, QueueLimits

TICK = 0.0002
"""Seconds of a step of the simulation."""


@define(eq=False)
class SimulatedHand:
    """What a worker has: one batch, or none."""

    load: int = 0
    jobs_ahead: int = 0
    bytes_ahead: int = 0

    @property
    def room(self) -> int:
        """One batch."""
        return 1 - self.load


@define(eq=False)
class SimulatedWorker:
    """A worker of the simulation."""

    id: str
    in_flight: SimulatedHand = field(factory=SimulatedHand)


@define(eq=False)
class Simulation:
    """
    Callers who each ask again when they have their answer, after a pause.

    :param handler: seconds for a batch of so many.
    :param pauses: seconds of each caller between an answer and the next request.
    """

    handler: Callable[[int], float]
    pauses: Sequence[float]
    size: int = 32
    delay: float = AUTO_DELAY
    workers: int = 1
    clock: Clock = field(factory=Clock, init=False)
    queue: BatchAggregator = field(init=False)
    latencies: list[float] = field(factory=list, init=False)
    calls: list[tuple[int, float]] = field(factory=list, init=False)
    is_over: bool = field(default=False, init=False)
    """Nobody asks again."""
    _all: list[SimulatedWorker] = field(init=False)
    _pauses: dict[Job, float] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self._all = [SimulatedWorker(str(number)) for number in range(self.workers)]
        limits = QueueLimits(10_000)
        self.queue = BatchAggregator("m", "1", self.size, self.delay, limits, self.clock, self._dispatch)

    def run(self, seconds: float) -> float:
        """Return the answers a second, after a while that is not counted."""
        for number, pause in enumerate(self.pauses):
            self.clock.callLater(TICK * (number % 7), self._ask, pause)
        self.wait(0.4)
        self.latencies.clear()
        self.wait(seconds)
        return len(self.latencies) / seconds

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        for _ in range(round(seconds / TICK)):
            self.clock.advance(TICK)

    def _ask(self, pause: float) -> None:
        job = make_job(b"x", self.clock.seconds())
        self._pauses[job] = pause
        self.queue.put(job)
        self.clock.callLater(0, self._dispatch)

    def _dispatch(self) -> None:
        while (due := self.queue.next_batch(self._all)) is not None:
            worker, jobs = due
            worker.in_flight.load = 1
            self.clock.callLater(self.handler(len(jobs)), self._answer, worker, list(jobs))

    def _answer(self, worker: SimulatedWorker, jobs: list[Job]) -> None:
        worker.in_flight.load = 0
        now = self.clock.seconds()
        self.calls.append((len(jobs), self.handler(len(jobs))))
        self.queue.learn(len(jobs), 1, self.handler(len(jobs)))
        self._dispatch()
        for job in jobs:
            self.latencies.append(now - job.request.arrived)
            pause = self._pauses.pop(job)
            if not self.is_over:
                self.clock.callLater(pause, self._ask, pause)


def steady(seconds: float) -> Callable[[int], float]:
    """A handler that takes as long for any batch."""
    return lambda size: seconds
