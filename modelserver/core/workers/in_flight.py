"""The batches that one worker has, answered one after the other, and the pace at which they are answered."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from modelserver.core.workers.batch import Batch, Settled, Times
from modelserver.errors import DeadlinePassed, ServingError
from modelserver.interfaces import WorkerProcess
from modelserver.jobs import ASSIGNED, FINISHED, STREAMING, Answer, Job
from modelserver.spec import WorkerFailure
from modelserver.version_settings.values import Timeouts

SHORT, TINY, LEAST = 0.02, 0.002, 0.00025
"""Seconds a batch takes on average, below which a worker may have FEW, MANY or MOST batches in hand."""
FEW, MANY, MOST = 2, 8, 16
LAST_CALL = 0.25
"""Seconds that a worker has to send the answers that it keeps, before the oldest job in hand is given up."""

AnswerWatch = Callable[[Sequence[Job], Sequence[Answer | ServingError]], None]
"""Is shown the answers, or parts of them, that came for jobs, before the jobs' observers are told."""


@define(eq=False)
class Pace:
    """
    How fast a worker answers.

    :param calls: calls of the handler that came back, over all of the worker's processes.
    :param mean: seconds that a call takes, averaged with more weight on the last ones; None before the first.
    """

    calls: int = 0
    mean: float | None = None

    def learn(self, seconds: float, calls: int) -> None:
        """Count ``calls`` that took ``seconds`` each."""
        mean = self.mean
        self.mean = seconds if mean is None else mean + (seconds - mean) * min(1.0, calls / 8)
        self.calls += calls


class InFlight(Protocol):
    """
    The batches that one worker has in hand. Each mode of a version has its own rules for them.

    It is the ``holder`` of the jobs in these batches. Times are the clock's (monotonic) seconds.
    """

    process: WorkerProcess | None
    """Where batches go; None while the worker has no process."""
    load: int
    """How many calls of the handler are in hand."""
    pace: Pace

    @property
    def batches(self) -> Sequence[Batch]:
        """The batches in hand, those sent first first."""

    @property
    def room(self) -> int:
        """How many more batches the worker may be given now; none while it is not ready."""

    def assign(self, jobs: Sequence[Job], pipelined: bool = False) -> None:
        """Send a batch, or several of one job each that travel together; it leaves at ``flush``."""

    def flush(self) -> None:
        """Let the batches of this turn leave."""

    def answered(self, number: int, answers: Sequence[Answer | ServingError], seconds: float) -> None:
        """
        Take the answers of a batch; they are kept until ``take_settled``.

        :raises LookupError: no such batch can be answered now, or it has another number of jobs.
        """

    def part_arrived(self, number: int, answers: Sequence[Answer | ServingError]) -> None:
        """
        Hand the parts of a streamed batch to its jobs; each part buys ``response`` seconds more.

        :raises LookupError: no such batch can be answered now, or it has another number of jobs.
        """

    def take_settled(self) -> Sequence[Settled]:
        """Return, once, the jobs that were answered since the last call, in order."""

    def open(self) -> None:
        """Let there be room: the worker is ready."""

    def close(self) -> None:
        """Have no room, and watch the batches in hand no more: the worker is in another state."""

    def lose(self, failure: WorkerFailure) -> Sequence[Batch]:
        """
        Release all jobs, for the process is gone, and return them.

        The first batch is the one whose present call may have ended the process.
        """

    def cancel_stream(self, job: Job) -> None:
        """Have the handler told that the client of ``job`` is gone."""

    def resume(self, job: Job) -> None:
        """Let the handler send further parts for ``job``, whose observer can take them again."""


class MakeInFlight(Protocol):
    """Makes the empty ``InFlight`` of one worker."""

    def __call__(
        self,
        timeouts: Timeouts,
        clock: IReactorTime,
        timed_out: Callable[[], None],
    ) -> InFlight: ...


@define(eq=False)
class InOrder:
    """
    Batches that are answered in the order in which they were sent; a fast worker may have some ahead.

    :param timed_out: is called when the worker takes longer for a batch than ``timeouts.response``.
    :param has_many_waiting: whether more jobs wait than all workers of the version could have ahead.
    :param watch: is shown each batch of answers.
    """

    timeouts: Timeouts
    clock: IReactorTime
    timed_out: Callable[[], None]
    has_many_waiting: Callable[[], bool] = field(kw_only=True)
    watch: AnswerWatch | None = field(default=None, kw_only=True)
    process: WorkerProcess | None = field(default=None, init=False)
    _is_open: bool = field(default=False, init=False)
    load: int = field(default=0, init=False)
    pace: Pace = field(factory=Pace, init=False)
    batches: deque[Batch] = field(factory=deque, init=False)
    _number: int = field(default=0, init=False)
    _settled: list[Settled] = field(factory=list, init=False)
    _timer: IDelayedCall | None = field(default=None, init=False)
    _flush_requested: bool = field(default=False, init=False)
    """The worker was asked for the answers that it keeps: the oldest batch is late, or done and one behind
    it."""

    @property
    def room(self) -> int:
        """How many more batches the worker may be given; none behind a job that has the worker to itself."""
        if not self._is_open:
            return 0
        batches = self.batches
        if batches and batches[-1].jobs[0].exclusive:
            return 0
        mean = self.pace.mean
        if mean is None or mean >= SHORT:
            return 1 - self.load
        if mean < LEAST:
            return MOST - self.load
        # Where many wait, those who are sent ahead wait no longer than in the queue, and a server that is
        # busy with refusals does not leave the worker idle meanwhile.
        return (FEW if mean >= TINY and not self.has_many_waiting() else MANY) - self.load

    def assign(self, jobs: Sequence[Job], pipelined: bool = False) -> None:
        """Send a batch, or several of one job each that travel together; it leaves at ``flush``."""
        assert self.process is not None  # room was asked for
        now = self.clock.seconds()
        for job in jobs:
            job.assigned = now
            job.state = ASSIGNED
            job.holder = self
        self._number = number = (self._number + 1) & 0xFFFFFFFF
        batch = Batch(number, jobs, pipelined, now)
        self.batches.append(batch)
        self.load += batch.calls
        self.process.send(number, jobs, pipelined)
        if self._timer is None:
            self._timer = self.clock.callLater(self.timeouts.response, self._look_at_oldest)

    def flush(self) -> None:
        """Let the batches of this turn leave."""
        if self.process is not None:
            self.process.flush()

    def answered(self, number: int, answers: Sequence[Answer | ServingError], seconds: float) -> None:
        """
        Take the answers of the oldest batch, or of the next jobs of those pipelined.

        :raises LookupError: the batch is not the oldest, or has another number of jobs.
        """
        batches = self.batches
        if not batches or batches[0].number != number:
            raise LookupError(f"an answer to batch {number}, which is not the oldest in hand")
        batch = batches[0]
        jobs = batch.cut(len(answers))
        calls = len(jobs) if batch.pipelined else 1
        now = self.clock.seconds()
        times = Times(now, seconds, now - batch.started)
        if not batch.jobs:
            batches.popleft()
        if batches:
            # What was kept for so long was done long ago, when the next one was begun.
            batches[0].started = batch.started if self._flush_requested else now
        else:
            self._flush_requested = False
        self.load -= calls
        self.pace.learn(seconds / calls, calls)
        if self.watch is not None:
            self.watch(jobs, answers)
        self._settled.append((jobs, answers, calls, times))

    def part_arrived(self, number: int, answers: Sequence[Answer | ServingError]) -> None:
        """
        Hand the parts of a streamed batch to its jobs; each part buys ``response`` seconds more.

        :raises LookupError: the batch is not the oldest, or has another number of jobs.
        """
        batch = self.batches[0] if self.batches else None
        if batch is None or batch.number != number or len(answers) != len(batch.current):
            raise LookupError(f"a part of batch {number}, which is not the oldest in hand")
        batch.started = self.clock.seconds()
        if self.watch is not None:
            self.watch(batch.current, answers)
        for job, _ in pass_parts_on(batch.current, answers):
            self._hold(batch, job)

    def _hold(self, batch: Batch, job: Job) -> None:
        """Have the handler wait before its next part, until the job resumes or its client leaves."""
        if job in batch.full or self.process is None:
            return
        if not batch.full:
            self.process.hold(batch.number, True)
        batch.full.add(job)

    def resume(self, job: Job) -> None:
        """Let the handler go on, unless another client of the batch cannot take more."""
        for batch in self.batches:
            if job in batch.full:
                batch.full.remove(job)
                if not batch.full and self.process is not None:
                    batch.started = self.clock.seconds()
                    self.process.hold(batch.number, False)

    def cancel_stream(self, job: Job) -> None:
        """Have the handler told that the client of ``job`` is gone."""
        for batch in self.batches:
            if job in batch.jobs and self.process is not None:
                self.process.cancel(batch.number, batch.index_of(job))
        self.resume(job)

    def take_settled(self) -> Sequence[Settled]:
        """Return, once, the jobs that were answered since the last call, in order."""
        settled, self._settled = self._settled, []
        return settled

    def _look_at_oldest(self) -> None:
        """Watch all batches with one timer, set anew for the oldest rather than once for each."""
        self._timer = None
        if not self.batches:
            return
        oldest = self.batches[0]
        left = oldest.started + self.timeouts.response - self.clock.seconds()
        if left > 0:
            self._flush_requested = False
            self._timer = self.clock.callLater(left, self._look_at_oldest)
        elif oldest.full:
            self._drop_slow(oldest)
        elif self.load > 1 and not self._flush_requested and self.process is not None:
            self._flush_requested = True
            self.process.flush_answers()
            self._timer = self.clock.callLater(LAST_CALL, self._look_at_oldest)
        else:
            self.timed_out()

    def _drop_slow(self, batch: Batch) -> None:
        """Fail the jobs of clients that have not read for so long: they hold a worker from the others."""
        for job in list(batch.full):
            job.fail(DeadlinePassed(self.timeouts.response, started=True))
            self.cancel_stream(job)
        batch.started = self.clock.seconds()
        self._timer = self.clock.callLater(self.timeouts.response, self._look_at_oldest)

    def open(self) -> None:
        """Let there be room: the worker is ready."""
        self._is_open = True

    def close(self) -> None:
        """Have no room, and watch the batches in hand no more: the worker is in another state."""
        self._is_open = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._flush_requested = False

    def lose(self, failure: WorkerFailure) -> Sequence[Batch]:
        """Release all jobs, for the process is gone, and return them, the oldest batch first."""
        batches, self.batches, self.load = self.batches, deque(), 0
        for batch in batches:
            for job in batch.jobs:
                job.released_by_worker()
        return batches


def pass_parts_on(jobs: Sequence[Job], answers: Sequence[Answer | ServingError]) -> Iterator[tuple[Job, int]]:
    """
    Give each job its part of a streamed answer.

    Yield those whose observers can take no more now, each at once, with the bytes of its part.
    """
    for job, answer in zip(jobs, answers, strict=True):
        if job.state is FINISHED:
            if job.holder is not None:  # nobody reads it any more, and the handler does not know
                job.holder.cancel_stream(job)
        elif not isinstance(answer, Answer):
            job.fail(answer)
        elif answer.body:
            job.state = STREAMING
            if not job.observer.next_part(job, answer):
                yield job, len(answer.body)
