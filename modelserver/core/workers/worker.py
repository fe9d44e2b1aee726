"""One worker of a version: a process that is started, watched, given batches, ended and started again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from modelserver.core.workers.batch import Batch, Times
from modelserver.core.workers.lifecycle import LIFECYCLE, WorkerInputs
from modelserver.core.workers.restarts import RestartPolicy
from modelserver.errors import DeadlinePassed, ServingError
from modelserver.interfaces import WorkerBackend, WorkerProcess
from modelserver.jobs import Answer, Job
from modelserver.spec import WorkerFailure, WorkerSpec, WorkerState
from modelserver.version_settings.values import Timeouts

_log = Logger()

SHORT, TINY, LEAST = 0.02, 0.002, 0.00025
"""Seconds a batch takes on average, below which a worker may have FEW, MANY or MOST batches in hand."""
FEW, MANY, MOST = 2, 8, 16
LAST_CALL = 0.25
"""Seconds that a worker has to send the answers that it keeps, before the oldest job in hand is given up."""
# An alias: attribute access on an Enum is slow on the request path.
READY = WorkerState.READY


Settled = tuple[Sequence[Job], Sequence[Answer | ServingError], int, Times]
"""Jobs with their answers, of so many calls of the handler."""


class WorkerOwner(Protocol):
    """What a worker tells its pool, and asks of it."""

    @property
    def has_many_waiting(self) -> bool:
        """Whether more jobs wait than all workers could have ahead."""

    def worker_ready(self, worker: Worker, seconds: float) -> None:
        """The model is loaded; it took so long."""

    def worker_has_room(self, worker: Worker) -> None:
        """Answers came, and everything that came with them has been handed out."""

    def batch_finished(self, worker: Worker, jobs: Sequence[Job], calls: int, times: Times) -> None:
        """Jobs came back, from so many calls of the handler."""

    def worker_counted(self, worker: Worker, metrics: Sequence[Mapping[str, object]]) -> None:
        """The handler counted something."""

    def worker_lost(self, worker: Worker, batches: Sequence[Batch], failure: WorkerFailure) -> None:
        """The process is gone with these batches in hand, the oldest first."""

    def worker_gave_up(self, worker: Worker) -> None:
        """It will not be started again by itself."""

    def worker_stopped(self, worker: Worker) -> None:
        """It is gone for good."""


@define(eq=False)
class Worker:
    """
    The owner of one worker's state, its timer, its process, and the batches in its hand.

    :param index: its place among its siblings, for those that are told apart by it.
    """

    spec: WorkerSpec
    timeouts: Timeouts
    owner: WorkerOwner
    backend: WorkerBackend
    clock: IReactorTime
    now: Callable[[], float]
    state: WorkerState = field(default=WorkerState.STOPPED, init=False)
    process: WorkerProcess | None = field(default=None, init=False)
    in_hand: deque[Batch] = field(factory=deque, init=False)
    load: int = field(default=0, init=False)
    """How many calls of the handler are in hand."""
    failure: WorkerFailure | None = field(default=None, init=False)
    restart_policy: RestartPolicy = field(init=False)
    launched_at: float = field(default=0.0, init=False)
    served: int = field(default=0, init=False)
    mean_batch: float | None = field(default=None, init=False)
    _numbers: int = field(default=0, init=False)
    _answers: list[Settled] = field(factory=list, init=False)
    _timer: IDelayedCall | None = field(default=None, init=False)
    _flush_requested: bool = field(default=False, init=False)
    """It was asked for the answers that it keeps: the oldest in hand is late, or done and one behind it."""
    _inputs: WorkerInputs = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.restart_policy = RestartPolicy(self.timeouts)
        self._inputs = LIFECYCLE(self)

    # What the pool asks.

    def start(self) -> None:
        """Launch the process, or launch it again after the worker gave up or while it waits to."""
        self._inputs.start()

    def stop(self, drain: float | None = None) -> None:
        """
        End for good, after the batches in hand.

        :param drain: seconds that they may still take; None: as long as they need.
        """
        self._inputs.stop(drain)

    @property
    def id(self) -> str:
        """As clients see it."""
        return self.spec.id

    @property
    def pid(self) -> int | None:
        """Its process id, None while it has no process."""
        return None if self.process is None else self.process.pid

    @property
    def room(self) -> int:
        """How many more batches it may be given now; none behind a job that has the worker to itself."""
        if self.state is not READY:
            return 0
        in_hand = self.in_hand
        if in_hand and in_hand[-1].jobs[0].exclusive:
            return 0
        mean = self.mean_batch
        if mean is None or mean >= SHORT:
            return 1 - self.load
        if mean < LEAST:
            return MOST - self.load
        # Where many wait, those who are sent ahead wait no longer than in the queue, and a server that is
        # busy with refusals does not leave the worker idle meanwhile.
        return (FEW if mean >= TINY and not self.owner.has_many_waiting else MANY) - self.load

    def assign(self, jobs: Sequence[Job], pipelined: bool = False) -> None:
        """Send a batch, or several of one job each that travel together; it leaves at ``flush``."""
        assert self.process is not None  # room was asked for
        now = self.clock.seconds()
        for job in jobs:
            job.assigned = now
            job.held = True
        self._numbers = number = (self._numbers + 1) & 0xFFFFFFFF
        batch = Batch(number, jobs, pipelined, now)
        self.in_hand.append(batch)
        self.load += batch.calls
        self.process.send(number, jobs, pipelined)
        if self._timer is None:
            self._timer = self.clock.callLater(self.timeouts.response, self._look_at_oldest)

    def flush(self) -> None:
        """Let the batches of this turn leave."""
        if self.process is not None:
            self.process.flush()

    def forget(self, job: Job) -> None:
        """The client of a job in hand is gone: a handler that streams is told."""
        for batch in self.in_hand:
            if job in batch.jobs and self.process is not None:
                self.process.cancel(batch.number, batch.done + batch.jobs.index(job))
                self._go_on(batch, job)

    def _look_at_oldest(self) -> None:
        """One timer watches all batches: it is set anew for the oldest rather than once for each."""
        self._timer = None
        if not self.in_hand:
            return
        left = self.in_hand[0].started + self.timeouts.response - self.clock.seconds()
        if left > 0:
            self._flush_requested = False
            self._timer = self.clock.callLater(left, self._look_at_oldest)
        elif self.in_hand[0].full:
            self._drop_slow(self.in_hand[0])
        elif self.load > 1 and not self._flush_requested and self.process is not None:
            self._flush_requested = True
            self.process.release()
            self._timer = self.clock.callLater(LAST_CALL, self._look_at_oldest)
        else:
            self._inputs.timed_out()

    def _drop_slow(self, batch: Batch) -> None:
        """Clients that have not read for so long hold a worker that could answer others."""
        for job in list(batch.full):
            job.fail(DeadlinePassed(self.timeouts.response, started=True))
            self.forget(job)
        batch.started = self.clock.seconds()
        self._timer = self.clock.callLater(self.timeouts.response, self._look_at_oldest)

    # What the process reports.

    def started(self) -> None:
        """The process runs; nothing changes before it has loaded."""

    def loaded(self) -> None:
        """The model is loaded."""
        self._inputs.loaded()

    def answered(self, number: int, answers: Sequence[Answer | ServingError], seconds: float) -> None:
        """
        Take the answers of a batch, or of the next ones of those pipelined.

        Their observers are told at the turn's end, when the worker has got what it can do next.
        """
        in_hand = self.in_hand
        if not in_hand or in_hand[0].number != number:
            raise LookupError(f"an answer to batch {number}, which is not the oldest in hand")
        batch = in_hand[0]
        jobs = batch.cut(len(answers))
        calls = len(jobs) if batch.pipelined else 1
        now = self.clock.seconds()
        times = Times(now, seconds, now - batch.started)
        if not batch.jobs:
            in_hand.popleft()
        if in_hand:
            # What was kept for so long was done long ago, when the next one was begun.
            in_hand[0].started = batch.started if self._flush_requested else now
        else:
            self._flush_requested = False
        self.load -= calls
        self._learn(seconds / calls, calls)
        self._answers.append((jobs, answers, calls, times))

    def _hand_out(self) -> None:
        """Tell the clients what came for them in this turn."""
        settled, self._answers = self._answers, []
        for jobs, answers, calls, times in settled:
            for job, answer in zip(jobs, answers, strict=True):
                job.settle(answer)
            self.owner.batch_finished(self, jobs, calls, times)
        if not self.in_hand and self.state is WorkerState.DRAINING:
            self._inputs.drained()

    def _learn(self, seconds: float, calls: int) -> None:
        mean = self.mean_batch
        self.mean_batch = seconds if mean is None else mean + (seconds - mean) * min(1.0, calls / 8)
        self.served += calls
        if not self.restart_policy.proved:
            self.restart_policy.prove()

    def part_arrived(self, number: int, answers: Sequence[Answer | ServingError]) -> None:
        """Hand the parts of a streamed batch to its jobs; each part buys ``response`` seconds more."""
        batch = self.in_hand[0] if self.in_hand else None
        if batch is None or batch.number != number or len(answers) != len(batch.current):
            raise LookupError(f"a part of batch {number}, which is not the oldest in hand")
        batch.started = self.clock.seconds()
        self._pass_on(batch, batch.current, answers)

    def _pass_on(self, batch: Batch, jobs: Sequence[Job], answers: Sequence[Answer | ServingError]) -> None:
        """Give each job its part."""
        for job, answer in zip(jobs, answers, strict=True):
            if job.finished:
                self.forget(job)  # nobody reads it any more, and the handler does not know
            elif not isinstance(answer, Answer):
                job.fail(answer)
            elif answer.body:
                job.streaming = True
                if not job.observer.next_part(job, answer):
                    self._hold(batch, job, len(answer.body))

    def _hold(self, batch: Batch, job: Job, size: int) -> None:
        """The handler waits before its next part, until ``job.resume`` is called or the client leaves."""
        if job in batch.full or self.process is None:
            return
        if not batch.full:
            self.process.hold(batch.number, True)
        batch.full.add(job)
        job.resume = partial(self._go_on, batch, job)

    def _go_on(self, batch: Batch, job: Job) -> None:
        job.resume = None
        if job in batch.full:
            batch.full.remove(job)
            if not batch.full and self.process is not None:
                batch.started = self.clock.seconds()
                self.process.hold(batch.number, False)

    def counted(self, metrics: Sequence[Mapping[str, object]]) -> None:
        """What the handler counted."""
        self.owner.worker_counted(self, metrics)

    def turn_ended(self) -> None:
        """All answers of this turn are here: the worker gets more first, since clients take their time."""
        self.owner.worker_has_room(self)
        self._hand_out()

    def exited(self, failure: WorkerFailure) -> None:
        """The process is gone."""
        self.process = None
        self._hand_out()
        self.failure = failure
        self._tell(
            "Worker {worker} of model {model} version {version} ended: {failure}",
            failure=str(failure),
            stderr=failure.stderr,
            traceback=failure.traceback,
        )
        self._inputs.exited(failure)

    def _tell(self, text: str, **fields: object) -> None:
        version = self.spec.version
        _log.info(text, worker=self.id, model=version.name, version=version.version, **fields)

    # What the transitions do.

    def enter(self, state: WorkerState) -> None:
        """Be in ``state``; the timer of the state before is no more. Only the lifecycle calls this."""
        self._stop_timer()
        self._flush_requested = False
        self.state = state

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _leave_state_in(self, seconds: float) -> None:
        """Set the timer of the present state."""
        self._stop_timer()
        self._timer = self.clock.callLater(seconds, self._elapse)

    def _elapse(self) -> None:
        self._timer = None
        self._inputs.timed_out()

    def launch(self) -> None:
        """Start a process, and the clock of its start."""
        self.launched_at = self.now()
        self.restart_policy.launched(self.clock.seconds())
        self._leave_state_in(self.timeouts.startup)
        self.process = self.backend.launch(self, self.spec)

    def kill(self, cause: str) -> None:
        """End the process now."""
        if self.process is not None:
            self.process.kill(cause)

    def succeed(self) -> None:
        """The model is loaded: earlier failures are over."""
        self.owner.worker_ready(self, self.restart_policy.ready(self.clock.seconds()))

    def lose(self, failure: WorkerFailure) -> None:
        """Give what was in hand back to the pool."""
        batches, self.in_hand, self.load = self.in_hand, deque(), 0
        for batch in batches:
            for job in batch.jobs:
                job.released_by_worker()
        self.owner.worker_lost(self, batches, failure)

    def wait_to_restart(self) -> None:
        """Set the timer of the next start, or give up when the recovery window is over."""
        delay = self.restart_policy.next_delay(self.clock.seconds())
        if delay is None or (self.failure is not None and self.failure.permanent):
            self._tell("Auto recovery failed again: worker {worker} is not started any more")
            self._inputs.give_up()
        else:
            self._leave_state_in(delay)
            self._tell("Retry worker: {worker} in {seconds:g} seconds.", seconds=round(delay, 3))

    def revive(self) -> None:
        """Start although it gave up: a new recovery window."""
        self.restart_policy.reset()
        self.launch()

    def give_up(self) -> None:
        """Wait for nothing any more."""
        self.owner.worker_gave_up(self)

    def drain(self, seconds: float | None) -> None:
        """Finish what is in hand, in so many seconds; None: in the time that an answer may take."""
        self._leave_state_in(self.timeouts.response if seconds is None else seconds)

    def end(self) -> None:
        """Ask the process to end; it has its grace for that."""
        self._leave_state_in(self.timeouts.grace)
        if self.process is not None:
            self.process.stop()

    def leave(self) -> None:
        """Be gone for good."""
        self.owner.worker_stopped(self)
