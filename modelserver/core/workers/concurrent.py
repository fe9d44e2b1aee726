"""Workers whose jobs are at work side by side: each batch is answered when it is done, in whatever order."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import partial

from attrs import define, field

from modelserver.core.queues.batch_queue import BatchAggregator
from modelserver.core.workers.batch import Batch, Times
from modelserver.core.workers.worker import READY, Worker
from modelserver.errors import ClientGone, DeadlinePassed, ServingError
from modelserver.jobs import Answer, Job
from modelserver.spec import WorkerFailure

AT_ONCE = 1024
"""Batches that an asynchronous handler may have at work; what comes then waits in the queue."""
LONGEST_BEHIND = 1 << 20
"""Bytes of a streamed answer that may wait for a client that does not read."""


@define(eq=False)
class ConcurrentWorker(Worker):
    """
    A worker that takes batches while it has others at work.

    A batch of which nothing is heard for as long as an answer may take is given up, and the worker told so;
    one that does not even react to that in its grace is ended. A client that is slow to read holds nobody:
    its stream is cut off when too much waits for it.

    :param capacity: batches that it may have.
    """

    capacity: int = field(kw_only=True)
    _heard: float = field(default=0.0, init=False)
    _given_up: dict[Batch, float] = field(factory=dict, init=False)
    _behind: dict[Job, int] = field(factory=dict, init=False)

    @property
    def room(self) -> int:
        """How many more batches it may be given now; none beside a job that has the worker to itself."""
        is_taken = bool(self.in_hand) and self.in_hand[-1].jobs[0].exclusive
        return self.capacity - self.load if self.state is READY and not is_taken else 0

    def assign(self, jobs: Sequence[Job], pipelined: bool = False) -> None:
        """Send a batch, or several of one job each; they leave at ``flush``."""
        for batch in [[job] for job in jobs] if pipelined else [jobs]:
            super().assign(batch)

    def answered(self, number: int, answers: Sequence[Answer | ServingError], seconds: float) -> None:
        """Take the answers of a batch, whichever it is; its observers are told at the turn's end."""
        batch = self._find(number, answers)
        self.in_hand.remove(batch)
        self.load -= 1
        self._given_up.pop(batch, None)
        self._learn(seconds, 1)
        times = Times(self._heard, seconds, self._heard - batch.jobs[0].assigned)
        self._answers.append((batch.jobs, answers, 1, times))
        for job in batch.jobs:
            self._behind.pop(job, None)

    def part_arrived(self, number: int, answers: Sequence[Answer | ServingError]) -> None:
        """Hand the parts of a streamed batch to its jobs; each part buys ``response`` seconds more."""
        batch = self._find(number, answers)
        batch.started = self._heard
        self._pass_on(batch, batch.jobs, answers)

    def _find(self, number: int, answers: Sequence[Answer | ServingError]) -> Batch:
        """
        The batch that is meant.

        :raises LookupError: there is none, or it has another number of jobs.
        """
        self._heard = self.clock.seconds()
        for batch in self.in_hand:
            if batch.number == number:
                if len(answers) != len(batch.jobs):
                    raise LookupError(f"{len(answers)} answers to a batch of {len(batch.jobs)}")
                return batch
        raise LookupError(f"an answer to batch {number}, which is not in hand")

    def _hold(self, batch: Batch, job: Job, size: int) -> None:
        """Count what waits for a client; ``job.resume`` is called when it has read everything."""
        job.resume = partial(self._catch_up, job)
        self._behind[job] = self._behind.get(job, 0) + size
        if self._behind[job] > LONGEST_BEHIND:
            self._catch_up(job)
            job.fail(ClientGone())
            self.forget(job)

    def _catch_up(self, job: Job) -> None:
        job.resume = None
        self._behind.pop(job, None)

    def _look_at_oldest(self) -> None:
        """One timer watches all batches: it is set anew for the one that has been silent for longest."""
        self._timer = None
        if not self.in_hand:
            return
        now, response_timeout = self.clock.seconds(), self.timeouts.response
        for batch in [each for each in self.in_hand if each.started + response_timeout <= now]:
            if self._heard < self._given_up.get(batch, 0.0):
                self._inputs.timed_out()
                return
            self._give_up(batch, now)
        left = min(batch.started for batch in self.in_hand) + response_timeout - now
        self._timer = self.clock.callLater(left, self._look_at_oldest)

    def _give_up(self, batch: Batch, now: float) -> None:
        """Its jobs fail; look again when the worker has had the time to react."""
        self._given_up[batch] = now
        batch.started = now - self.timeouts.response + max(self.timeouts.grace, 1.0)
        for job in batch.jobs:
            job.fail(DeadlinePassed(self.timeouts.response, started=True))
            self.forget(job)

    def lose(self, failure: WorkerFailure) -> None:
        """
        Any of those in hand may have been the cause, as if they were one batch; but who has blocked the event
        loop was given up before, and those who only waited for it are as those behind a batch.
        """
        self._given_up.clear()
        self._behind.clear()
        is_blocked = failure.cause == "response timeout"
        suspect: list[Job] = []
        innocent: list[Job] = []
        for batch in self.in_hand:
            for job in batch.jobs:
                is_innocent = is_blocked and not job.finished and not job.streaming
                (innocent if is_innocent else suspect).append(job)
        self.in_hand = deque(Batch(0, each, False, 0.0) for each in (suspect, innocent) if each)
        super().lose(failure)


@define(eq=False)
class ConcurrentQueue(BatchAggregator):
    """Batches for a worker that begins each at once: none waits for those before it."""

    def take(self, for_later: bool = False, most: int = 1) -> list[Job]:
        """The next batch if one is due; only a job that wants a worker to itself waits for an idle one."""
        while self._jobs and self._jobs[0].finished:
            self._drop_first()
        return super().take(for_later and bool(self._jobs) and self._jobs[0].exclusive, most)
