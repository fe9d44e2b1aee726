"""The jobs that wait for one version of a model, and the moment when some of them leave together."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import NoReturn

from attrs import field
from twisted.internet.interfaces import IReactorTime

from modelserver.core.queues.auto_delay import AutoDelay
from modelserver.core.queues.batch_delay import BatchDelay
from modelserver.core.queues.job_queue import AnyTaker, Taker
from modelserver.errors import QueueFull, ServingError
from modelserver.jobs import FINISHED, Job, SharedSlot
from modelserver.language.attributes import define
from modelserver.protocol.frames import EXPLAIN
from modelserver.version_settings.values import AUTO_DELAY, QueueLimits

MOST_APART = 1 << 16
"""Bytes of bodies that jobs which travel together, each a batch by itself, may have."""
SCANNED_PER_REFUSAL = 16
"""Jobs that one refusal may look at, on the average, for some whose clients have left."""


@define(eq=False)
class BatchAggregator:
    """
    Makes batches: one is due when ``batch_size`` jobs wait or the oldest has waited ``max_batch_delay``
    seconds.

    All its workers are alike: a batch goes to the one with the least in hand.

    :param max_batch_delay: seconds; ``AUTO_DELAY``: as long as is worth it.
    :param due: is called when the passing of time has made a batch due.
    :param joins: workers begin each batch at once, so that none waits behind those in hand.
    :param closed: why no job is taken any more, once it is so.
    """

    model: str
    version: str
    batch_size: int
    max_batch_delay: float
    limits: QueueLimits
    clock: IReactorTime
    due: Callable[[], None] = lambda: None
    joins: bool = False
    pipelined: bool = field(init=False)
    _delay: BatchDelay = field(init=False)
    _auto: AutoDelay | None = field(default=None, init=False)
    _jobs: deque[Job] = field(factory=deque, init=False)
    _size: int = field(default=0, init=False)
    closed: ServingError | None = field(default=None, init=False)
    _refused: int = field(default=0, init=False)
    _takers: Sequence[Taker] = field(default=(), init=False)
    _slack: int = field(default=0, init=False)
    _slack_size: int = field(default=0, init=False)
    """
    How many jobs, and bytes of bodies, can be put before what waits has to be counted again, here and in
    workers: nothing but ``put`` and ``put_back`` makes it more.
    """

    frees_when_settled = False

    def __attrs_post_init__(self) -> None:
        self.pipelined = self.batch_size == 1
        is_auto = self.max_batch_delay == AUTO_DELAY
        # Where jobs join, or are alone, none has anything to wait for.
        if is_auto and not self.joins and not self.pipelined:
            self._auto = AutoDelay(self.clock, self.batch_size, self.due)
        self._delay = BatchDelay(self.clock, 0.0 if is_auto else self.max_batch_delay, self.due)

    def jobs(self) -> Iterable[Job]:
        """Return the jobs that wait, the oldest first."""
        return tuple(self._jobs)

    @property
    def waiting(self) -> int:
        """How many jobs wait, those whose clients have left not counted; costs a look at each."""
        return sum(job.state is not FINISHED for job in self._jobs)

    @property
    def length(self) -> int:
        """How many jobs wait, also of clients who have left."""
        return len(self._jobs)

    @property
    def size(self) -> int:
        """How many bytes of bodies wait."""
        return self._size

    @property
    def learns(self) -> bool:
        """Whether the delay depends on what the handler takes."""
        return self._auto is not None

    @property
    def present_delay(self) -> float:
        """The seconds that a batch waits for others at present."""
        return self._delay.seconds if self._auto is None else self._auto.seconds

    def learn(self, jobs: int, calls: int, seconds: float) -> None:
        """Take in what the handler took, where the delay depends on it."""
        if self._auto is not None:
            arrivals = [job.request.arrived for job in self._jobs]
            self._auto.answered(jobs / calls, seconds / calls, arrivals)

    def put(self, job: Job) -> None:
        """
        Let a job wait for its batch.

        :raises QueueFull: as many jobs or bytes wait as may.
        :raises ServingError: what ``close`` was given, after it.
        """
        if self.closed is not None:
            # It would keep the frames of each that it was raised in.
            raise self.closed.with_traceback(None)
        size = len(job.request.body)
        self._slack -= 1
        self._slack_size -= size
        if (self._slack < 0 or self._slack_size < 0) and self._is_full(job):
            self._make_room(job)
        self._jobs.append(job)
        self._size += size

    def put_back(self, jobs: list[Job]) -> None:
        """Make jobs that a worker could not finish the next ones again, whatever the limits say."""
        self._slack = 0
        self._jobs.extendleft(reversed(jobs))
        self._size += sum(len(job.request.body) for job in jobs)

    def next_batch(self, workers: Sequence[AnyTaker]) -> tuple[AnyTaker, Sequence[Job]] | None:
        """Take the next batch that is due, for the worker with the least in hand; None when there is none."""
        if not self._jobs or not workers:
            return None
        self._takers, count = workers, len(workers)
        worker = workers[0] if count == 1 else max(workers, key=_room_and_rest)
        hand = worker.in_flight
        room = hand.room
        if room < 1:
            return None
        # Each worker gets its share of what waits, so that none is idle while another has some ahead.
        jobs = self.take(hand.load > 0, min(room, -(-len(self._jobs) // count)))
        return (worker, jobs) if jobs else None

    def take(self, for_later: bool = False, most: int = 1) -> list[Job]:
        """
        Return the next batch if one is due, else no jobs.

        :param for_later: the worker has a batch already: leave jobs that want a worker to themselves and,
            unless batches join, a batch that is due by its age alone.
        :param most: where the batch size is one, so many batches together, if they are small.
        """
        jobs = self._jobs
        while jobs and jobs[0].state is FINISHED:
            self._drop_first()
        if not jobs:
            return []
        if jobs[0].exclusive:
            return [] if for_later else [self._drop_first()]
        if self.batch_size == 1:
            return self._take_apart(most)
        is_full = len(jobs) >= self.batch_size and self._members() >= self.batch_size
        is_behind = for_later and not self.joins
        if is_full or (not is_behind and self._has_waited(jobs[0].request.arrived)):
            return self._cut()
        return []

    def _has_waited(self, oldest: float) -> bool:
        if self._auto is None:
            return self._delay.is_over(oldest)
        idle = sum(worker.in_flight.room > 0 and not worker.in_flight.load for worker in self._takers)
        return self._auto.is_over(oldest, self._members(), max(1, len(self._takers)), idle > 1)

    def _take_apart(self, most: int) -> list[Job]:
        jobs = self._jobs
        if most == 1 or len(jobs) == 1:
            return [self._drop_first()]
        if self._size <= MOST_APART:
            # Mostly, all may go that there is room for.
            taken = list(islice(jobs, most))
            if taken == [job for job in taken if job.state is not FINISHED and not job.exclusive]:
                if len(taken) < len(jobs):
                    return [self._drop_first() for _ in taken]
                jobs.clear()
                self._size = 0
                return taken
        taken = []
        size = travelling = 0
        while jobs:
            job = jobs[0]
            if taken and (len(taken) == most or job.exclusive):
                break
            body = job.request.body
            length = len(body)
            if type(body) is not SharedSlot:
                # Only these bytes go to the worker through its socket.
                travelling += length
                if travelling > MOST_APART and taken:
                    break
            jobs.popleft()
            size += length
            if job.state is not FINISHED:
                taken.append(job)
        self._size -= size
        return taken

    def _members(self) -> int:
        """Return how many live jobs the next batch has to choose from, at most ``batch_size``."""
        count = 0
        explain = self._jobs[0].request.flags & EXPLAIN
        for job in self._jobs:
            if job.exclusive or job.request.flags & EXPLAIN != explain:
                return self.batch_size  # what is before it goes alone: waiting longer would bring nothing
            count += job.state is not FINISHED
            if count == self.batch_size:
                break
        return count

    def _cut(self) -> list[Job]:
        self._delay.stop()
        batch: list[Job] = []
        # A handler looks at the first of a batch to know whether it shall predict or explain.
        explain = self._jobs[0].request.flags & EXPLAIN
        while self._jobs and len(batch) < self.batch_size and not self._jobs[0].exclusive:
            if self._jobs[0].request.flags & EXPLAIN != explain:
                break
            job = self._drop_first()
            if job.state is not FINISHED:
                batch.append(job)
        if self._auto is not None:
            self._auto.left(job.request.arrived for job in batch)
        return batch

    def _drop_first(self) -> Job:
        job = self._jobs.popleft()
        self._size -= len(job.request.body)
        return job

    def has_room_for(self, jobs: int) -> bool:
        """Return whether so many more jobs may wait."""
        return self._room >= jobs or (self._drop_left() and self._room >= jobs)

    def _make_room(self, job: Job) -> None:
        if not self._drop_left() or self._is_full(job):
            self._refuse(job)

    def _drop_left(self) -> bool:
        """
        Drop the jobs of clients who have left: not at each refusal, for that would make refusals slow.

        :returns: whether it was looked for them.
        """
        self._refused += SCANNED_PER_REFUSAL
        if self._refused < len(self._jobs):
            return False
        self._refused = 0
        live = [job for job in self._jobs if job.state is not FINISHED]
        self._jobs = deque(live)
        self._size = sum(len(job.request.body) for job in live)
        return True

    @property
    def _room(self) -> int:
        """How many more jobs may wait; what a worker has not begun waits as well."""
        ahead = sum(worker.in_flight.jobs_ahead for worker in self._takers)
        return self.limits.jobs - len(self._jobs) - ahead

    def _is_full(self, job: Job) -> bool:
        """Return whether the limits are reached."""
        self._slack = self._room - 1
        size = self._size + sum(worker.in_flight.bytes_ahead for worker in self._takers)
        limit = self.limits.size or sys.maxsize
        self._slack_size = limit - size - len(job.request.body)
        return self._slack < 0 or self._slack_size < 0

    def _refuse(self, job: Job) -> NoReturn:
        if self._slack < 0:
            raise QueueFull(self.model, self.version, self.limits.jobs)
        raise QueueFull(self.model, self.version, self.limits.size, "job_queue_bytes")

    def fail_all(self, error: ServingError) -> None:
        """Answer every waiting job with ``error``."""
        waiting, self._jobs, self._size = self._jobs, deque(), 0
        self._delay.stop()
        if self._auto is not None:
            self._auto.stop()
        for job in waiting:
            job.fail(error)

    def worker_gone(self, worker: str, reason: str) -> None:
        """Change nothing: the jobs that wait are for any worker."""

    def close(self, error: ServingError) -> None:
        """Take no more jobs; those that come now are refused with ``error``."""
        self.closed = error


def _room_and_rest(worker: Taker) -> tuple[bool, int]:
    """The worker with the least in hand comes first, among those that have room."""
    hand = worker.in_flight
    return hand.room > 0, -hand.load
