"""The batches of a worker that has them at work side by side: each is answered when it is done."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from attrs import field

from modelserver.core.workers.batch import Batch, Times
from modelserver.core.workers.batches_in_hand import BatchesInHand
from modelserver.core.workers.in_flight import pass_parts_on
from modelserver.errors import ClientGone, DeadlinePassed, ServingError
from modelserver.jobs import ASSIGNED, Answer, Job
from modelserver.language.attributes import define
from modelserver.spec import WorkerFailure

AT_ONCE = 1024
"""Batches that an asynchronous handler may have at work; what comes then waits in the queue."""
LONGEST_BEHIND = 1 << 20
"""Bytes of a streamed answer that may wait for a client that does not read."""


@define(eq=False)
class SideBySide(BatchesInHand):
    """
    Batches of which each is begun when it comes and answered when it is done.

    A batch of which nothing is heard for as long as an answer may take is given up, and the worker told so;
    a worker that does not even react to that in its grace is ended. A client that is slow to read holds
    nobody: its stream is cut off when too much waits for it.

    :param capacity: batches that the worker may have.
    """

    capacity: int = field(kw_only=True)
    behind: int = field(default=0, init=False)
    begun: float = field(default=0.0, init=False)
    jobs_ahead: int = field(default=0, init=False)
    bytes_ahead: int = field(default=0, init=False)
    _heard: float = field(default=0.0, init=False)
    """When the worker answered last, in the clock's seconds."""
    _given_up: dict[Batch, float] = field(factory=dict, init=False)
    """When each batch was given up that the worker still has."""
    _behind: dict[Job, int] = field(factory=dict, init=False)
    """Bytes of a streamed answer that wait for a job's client."""

    @property
    def room(self) -> int:
        """How many more batches the worker may be given; none beside a job that has the worker to itself."""
        is_taken = bool(self.batches) and self.batches[-1].jobs[0].exclusive
        return self.capacity - self.load if self._is_open and not is_taken else 0

    def assign(self, jobs: Sequence[Job], pipelined: bool = False) -> None:
        """Send a batch, or several of one job each; they leave at ``flush``."""
        for batch in [[job] for job in jobs] if pipelined else [jobs]:
            self._send(batch)

    def _send(self, jobs: Sequence[Job]) -> None:
        assert self.process is not None  # room was asked for
        now = self.clock.seconds()
        for job in jobs:
            job.assigned = now
            job.state = ASSIGNED
            job.holder = self
        self._number = number = (self._number + 1) & 0xFFFFFFFF
        self.batches.append(Batch(number, jobs, False, now))
        self.load += 1
        self.process.send(number, jobs, False)
        if self._timer is None:
            self._timer = self.clock.callLater(self.timeouts.response, self._look_at_silent)

    def answered(self, number: int, answers: Sequence[Answer | ServingError], seconds: float) -> None:
        """
        Take the answers of a batch, whichever it is.

        :raises LookupError: no batch has this number, or it has another number of jobs.
        """
        batch = self._find(number, answers)
        self.batches.remove(batch)
        self.load -= 1
        self._given_up.pop(batch, None)
        self.pace.learn(seconds, 1)
        if self.watch is not None:
            self.watch(batch.jobs, answers)
        times = Times(self._heard, seconds, self._heard - batch.jobs[0].assigned)
        self.settled.append((batch.jobs, answers, 1, times))
        for job in batch.jobs:
            self._behind.pop(job, None)

    def part_arrived(self, number: int, answers: Sequence[Answer | ServingError]) -> None:
        """
        Hand the parts of a streamed batch to its jobs; each part buys ``response`` seconds more.

        :raises LookupError: no batch has this number, or it has another number of jobs.
        """
        batch = self._find(number, answers)
        batch.started = self._heard
        if self.watch is not None:
            self.watch(batch.jobs, answers)
        for job, size in pass_parts_on(batch.jobs, answers):
            self._fall_behind(job, size)

    def _find(self, number: int, answers: Sequence[Answer | ServingError]) -> Batch:
        """
        Return the batch that is meant.

        :raises LookupError: no batch has this number, or it has another number of jobs.
        """
        self._heard = self.clock.seconds()
        for batch in self.batches:
            if batch.number == number:
                if len(answers) != len(batch.jobs):
                    raise LookupError(f"{len(answers)} answers to a batch of {len(batch.jobs)}")
                return batch
        raise LookupError(f"an answer to batch {number}, which is not in hand")

    def _fall_behind(self, job: Job, size: int) -> None:
        """Count what waits for a client, until the job resumes; cut the stream off when it is too much."""
        self._behind[job] = self._behind.get(job, 0) + size
        if self._behind[job] > LONGEST_BEHIND:
            job.fail(ClientGone())
            self.cancel_stream(job)

    def resume(self, job: Job) -> None:
        """Note that the client has read everything."""
        self._behind.pop(job, None)

    def recall(self, job: Job) -> None:
        """Change nothing: each job is begun when it comes."""

    def take_back(self) -> None:
        """Change nothing: there is nothing that is not begun."""

    def dropped(self, number: int, calls: int) -> None:
        """
        Refuse it.

        :raises LookupError: nothing was taken back.
        """
        raise LookupError(f"{calls} calls of batch {number} are not made, which were not taken back")

    def collect(self) -> None:
        """Change nothing: the worker keeps no answers."""

    def _look_at_silent(self) -> None:
        """Watch all batches with one timer, set anew for the one that has been silent for longest."""
        self._timer = None
        if not self.batches:
            return
        now, response_timeout = self.clock.seconds(), self.timeouts.response
        for batch in [each for each in self.batches if each.started + response_timeout <= now]:
            if self._heard < self._given_up.get(batch, 0.0):
                self.timed_out()
                return
            self._give_up(batch, now)
        left = min(batch.started for batch in self.batches) + response_timeout - now
        self._timer = self.clock.callLater(left, self._look_at_silent)

    def _give_up(self, batch: Batch, now: float) -> None:
        """Fail the jobs of a batch; look at it again when the worker has had the time to react."""
        self._given_up[batch] = now
        batch.started = now - self.timeouts.response + max(self.timeouts.grace, 1.0)
        for job in batch.jobs:
            job.fail(DeadlinePassed(self.timeouts.response, started=True))
            self.cancel_stream(job)

    def lose(self, failure: WorkerFailure) -> Sequence[Batch]:
        """
        Release all jobs, for the process is gone, and return them: those that may be the cause come first.

        Any of them may be it, as if they had been one batch. But a job that has blocked the event loop was
        given up before, and those that only waited for the loop are as those behind a batch.
        """
        self._given_up.clear()
        self._behind.clear()
        is_blocked = failure.cause == "response timeout"
        suspect: list[Job] = []
        innocent: list[Job] = []
        for batch in self.batches:
            for job in batch.jobs:
                is_innocent = is_blocked and job.state is ASSIGNED
                (innocent if is_innocent else suspect).append(job)
                job.released_by_worker()
        self.batches, self.load = deque(), 0
        return [Batch(0, each, False, 0.0) for each in (suspect, innocent) if each]
