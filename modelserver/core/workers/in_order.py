"""The batches of a worker that makes one call after the other, and of what it was sent ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from attrs import field

from modelserver.core.workers.batch import Batch, times_of
from modelserver.core.workers.batches_in_hand import BatchesInHand
from modelserver.core.workers.in_flight import LEAST, MANY, are_parts, pass_parts_on
from modelserver.errors import DeadlinePassed, ServingError
from modelserver.jobs import ASSIGNED, FINISHED, Answer, Job
from modelserver.language.attributes import define
from modelserver.spec import WorkerFailure

SHORT, TINY = 0.02, 0.002
"""Seconds a call takes on average, below which a worker may have FEW or MANY in hand; below LEAST, MOST."""
FEW, MOST = 2, 32


@define(eq=False)
class InOrder(BatchesInHand):
    """
    Batches that are answered in the order in which they were sent; a fast worker may have some ahead.

    Those ahead are still to be had until the worker begins them, whatever was measured before: while a call
    takes long, they may go to another worker. ``modelserver.protocol.ahead`` says why each is run once.

    :param has_many_waiting: whether more jobs wait than all workers of the version could have ahead.
    :param put_back: is given the jobs that the worker had ahead and that wait again, the oldest first.
    """

    has_many_waiting: Callable[[], bool] = field(kw_only=True)
    put_back: Callable[[list[Job]], None] = field(kw_only=True)
    _may_go_ahead: bool = field(default=False, init=False)
    _under_way: Callable[[float], int] | None = field(default=None, init=False)
    """Where the worker is on another machine: how many calls are on the way to it and back."""
    _revoked: deque[tuple[int, int]] = field(factory=deque, init=False)
    """Numbers of batches and of their last calls, which were taken back and which the worker has not passed
    over yet: it gets nothing ahead until then."""
    _is_collecting: bool = field(default=False, init=False)

    @property
    def behind(self) -> int:
        """How many calls are in hand beside the present one: not begun, or done and not reported."""
        return self.load - 1 if self.load else 0

    @property
    def begun(self) -> float:
        """When the present call can have begun, in the clock's seconds; 0 where there is none."""
        return self.batches[0].started if self.batches else 0.0

    @property
    def jobs_ahead(self) -> int:
        """How many jobs these calls are for."""
        if self.load < 2:
            return 0
        return sum(len(batch.jobs) for batch in self.batches) - len(self.batches[0].current)

    @property
    def bytes_ahead(self) -> int:
        """How many bytes the bodies of these jobs have."""
        jobs = [job for batch in self.batches for job in batch.jobs]
        present = len(self.batches[0].current) if jobs else 0
        return sum(len(job.request.body) for job in jobs[present:])

    @property
    def room(self) -> int:
        """How many more batches the worker may be given; none behind a job that has the worker to itself."""
        if not self._is_open or self._revoked:
            return 0
        batches = self.batches
        if batches and batches[-1].jobs[0].exclusive:
            return 0
        mean = self.pace.mean
        if mean is None or mean >= SHORT or not self._may_go_ahead:
            if self._under_way is not None and mean is not None:
                return 1 + self._under_way(mean) - self.load
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
        is_ahead = self.load > 0 or (pipelined and len(jobs) > 1)
        batch = Batch(number, jobs, pipelined, now, is_ahead)
        self.batches.append(batch)
        self.load += batch.calls
        self.process.send(number, jobs, pipelined, is_ahead)
        if self._timer is None:
            self._timer = self.clock.callLater(self.timeouts.response, self._look_at_oldest)

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
        times = times_of((now, seconds, now - batch.started))
        if not batch.jobs:
            batches.popleft()
        elif batch.full:
            for job in jobs:
                self.resume(job)  # nobody waits for its client any more: the call is over that it held
        if batches:
            # What was kept was done when the next one was begun, which is long ago.
            batches[0].started = batch.started if self._is_collecting else now
        self.load -= calls
        self.pace.learn(seconds / calls, calls)
        if self.watch is not None:
            self.watch(jobs, answers)
        self.settled.append((jobs, answers, calls, times))

    def part_arrived(self, number: int, answers: Sequence[Answer | ServingError]) -> None:
        """
        Hand the parts of a streamed batch to its jobs; each part buys ``response`` seconds more.

        :raises LookupError: the batch is not the oldest, or has another number of jobs.
        """
        batch = self.batches[0] if self.batches else None
        if batch is None or batch.number != number or not are_parts(answers, batch.current):
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

    def _look_at_oldest(self) -> None:
        """Watch all batches with one timer, set anew for the oldest rather than once for each."""
        self._timer = None
        if not self.batches:
            return
        oldest = self.batches[0]
        left = oldest.started + self.timeouts.response - self.clock.seconds()
        if left > 0:
            self._timer = self.clock.callLater(left, self._look_at_oldest)
        elif oldest.full:
            self._drop_slow(oldest)
        else:
            # Only the call that is late fails: not those that are done, nor those that are not begun.
            self.take_back()
            self.collect()
            if self.batches and self._timer is None:
                self.timed_out()

    def _drop_slow(self, batch: Batch) -> None:
        """Fail the jobs of clients that have not read for so long: they hold a worker from the others."""
        for job in list(batch.full):
            self.cancel_stream(job)
            job.fail(DeadlinePassed(self.timeouts.response, started=True))
        batch.started = self.clock.seconds()
        self._timer = self.clock.callLater(self.timeouts.response, self._look_at_oldest)

    # What was sent ahead.

    def recall(self, job: Job) -> None:
        """Have ``job`` wait in the queue again, if the worker has not begun it."""
        if job.state is ASSIGNED:
            self.take_back()

    def take_back(self) -> None:
        """Have the jobs of calls that are not begun wait in the queue again, where they are the next."""
        if self.process is None or not self.batches or not self.batches[-1].ahead:
            return
        left = self.process.take_back()
        jobs: list[Job] = []
        while left and self.batches:
            batch = self.batches[-1]
            calls = min(left, batch.calls)
            jobs[:0] = batch.cut_last(calls)
            self._revoked.appendleft((batch.number, calls))
            self.load -= calls
            left -= calls
            if not batch.jobs:
                self.batches.pop()
        for job in jobs:
            job.taken_back()
        waiting = [job for job in jobs if job.state is not FINISHED]
        if waiting:
            self.put_back(waiting)

    def dropped(self, number: int, calls: int) -> None:
        """
        Note that the worker has passed over calls that were taken back.

        :raises LookupError: these were not.
        """
        if not self._revoked or self._revoked[0] != (number, calls):
            raise LookupError(f"{calls} calls of batch {number} are not made, which were not taken back")
        self._revoked.popleft()

    def collect(self) -> None:
        """Have the answers that are done, if the worker keeps some: the present call takes long."""
        if self.load > 1 and self.process is not None:
            self._is_collecting = True
            self.process.collect_answers()
            self._is_collecting = False

    def open(self) -> None:
        """Let there be room: the worker is ready."""
        super().open()
        process = self.process
        self._may_go_ahead = process is not None and process.goes_ahead
        is_elsewhere = process is not None and process.place is not None
        self._under_way = process.calls_under_way if process is not None and is_elsewhere else None

    def close(self) -> None:
        """Have no room, and watch the batches in hand no more: the worker is in another state."""
        self.take_back()
        super().close()

    def lose(self, failure: WorkerFailure) -> Sequence[Batch]:
        """Release all jobs, for the process is gone, and return them, the oldest batch first."""
        self._revoked.clear()
        batches, self.batches, self.load = self.batches, deque(), 0
        for batch in batches:
            for job in batch.jobs:
                job.released_by_worker()
        return batches
