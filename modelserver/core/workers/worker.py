"""One worker of a version: a process that is started, watched, given batches, ended and started again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from attrs import field
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from modelserver.core.workers.batch import Batch, Times
from modelserver.core.workers.in_flight import InFlight, MakeInFlight
from modelserver.core.workers.processor_use import ProcessorTime, ProcessorUse
from modelserver.core.workers.restarts import RestartPolicy
from modelserver.core.workers.worker_log import TIMEOUTS, WorkerLog
from modelserver.errors import ServingError
from modelserver.interfaces import WorkerBackend
from modelserver.jobs import Answer, CallMarks, Job
from modelserver.language.attributes import define
from modelserver.protocol.frames import TRACED
from modelserver.spec import WorkerDescription, WorkerFailure, WorkerPlace, WorkerSpec, WorkerState
from modelserver.traces import Tracer
from modelserver.version_settings.values import Timeouts

if TYPE_CHECKING:
    from modelserver.core.workers.lifecycle import WorkerInputs

# Aliases: attribute access on an Enum is slow on the request path.
READY, DRAINING = WorkerState.READY, WorkerState.DRAINING


class WorkerOwner(Protocol):
    """What a worker tells its pool."""

    def worker_ready(self, worker: Worker, seconds: float) -> None:
        """The model is loaded; it took ``seconds``."""

    def worker_has_room(self, worker: Worker) -> None:
        """Answers came; the jobs' observers are told when this method returns."""

    def batch_finished(self, worker: Worker, jobs: Sequence[Job], calls: int, times: Times) -> None:
        """Jobs came back, from so many calls of the handler."""

    def worker_counted(self, worker: Worker, metrics: Sequence[Mapping[str, object]]) -> None:
        """The handler counted something."""

    def worker_lost(self, worker: Worker, batches: Sequence[Batch], failure: WorkerFailure) -> None:
        """The process is gone with these batches in hand, the oldest first."""

    def worker_gave_up(self, worker: Worker) -> None:
        """The worker will not be started again by itself."""

    def worker_stopped(self, worker: Worker) -> None:
        """The worker is gone for good."""


@define(eq=False)
class Worker:
    """
    The owner of one worker's state, with the timer of that state; its batches are those of ``in_flight``.

    :param now: seconds since the epoch.
    :param tracer: is told what happens, or None.
    :param launched_at: when the process was launched last, seconds since the epoch; 0 before.
    :param died_laying: the last process ended while it laid answers over the bodies of requests.
    """

    spec: WorkerSpec
    timeouts: Timeouts
    owner: WorkerOwner
    backend: WorkerBackend
    clock: IReactorTime
    now: Callable[[], float]
    make_in_flight: MakeInFlight
    processor_time: ProcessorTime
    tracer: Tracer | None = None
    in_flight: InFlight = field(init=False)
    state: WorkerState = field(default=WorkerState.STOPPED, init=False)
    failure: WorkerFailure | None = field(default=None, init=False)
    launched_at: float = field(default=0.0, init=False)
    died_laying: bool = field(default=False, init=False)
    restart_policy: RestartPolicy = field(init=False)
    processor_use: ProcessorUse = field(init=False)
    _timer: IDelayedCall | None = field(default=None, init=False)
    _inputs: WorkerInputs = field(init=False)
    _told: WorkerLog = field(init=False)

    def __attrs_post_init__(self) -> None:
        from modelserver.core.workers.lifecycle import LIFECYCLE  # it takes 15 ms, which a start is spared

        self._told = WorkerLog(self.spec, self.timeouts.response)
        self._inputs = LIFECYCLE(self)
        self.in_flight = self.make_in_flight(self.timeouts, self.clock, self._inputs.timed_out)
        self.restart_policy = RestartPolicy(self.timeouts)
        self.processor_use = ProcessorUse(self.processor_time, self.in_flight.pace)

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
        """The worker's name, as clients see it."""
        return self.spec.id

    @property
    def pid(self) -> int | None:
        """The process id on this machine, None while there is no process here."""
        process = self.in_flight.process
        return None if process is None or process.place is not None else process.pid

    @property
    def threads(self) -> int | None:
        """The threads of computation that its process was given, None while there is no process."""
        process = self.in_flight.process
        return None if process is None else process.threads

    @property
    def place(self) -> WorkerPlace | None:
        """Where it is, if that is another machine."""
        process = self.in_flight.process
        return None if process is None else process.place

    def describe(self) -> WorkerDescription:
        """Describe it as it is now, without its memory, which it does not know of this machine."""
        place = self.place
        return WorkerDescription(
            self.id,
            self.state,
            self.launched_at,
            self.pid,
            gpu_id=next(iter(self.spec.visible_devices or ()), self.spec.gpu_id),
            restarts=self.restart_policy.restarts,
            failure=self.failure,
            threads=self.threads,
            gpu_memory=None if self.in_flight.process is None else self.in_flight.process.gpu_memory,
            memory=0 if place is None else place.memory,
            place=place,
        )

    # What the process reports.

    def started(self) -> None:
        """Tell the log alone: the process runs, and has not loaded its model."""
        self._told.started()

    def loaded(self) -> None:
        """Be ready: the model is loaded."""
        self._inputs.loaded()

    def answered(self, number: int, answers: Sequence[Answer | ServingError], seconds: float) -> None:
        """
        Take the answers of a batch, or of the next jobs of those pipelined.

        Their observers are told in ``turn_ended``, when the worker has got what it can do next.

        :raises LookupError: no such batch can be answered now, or it has another number of jobs.
        """
        self.in_flight.answered(number, answers, seconds)
        if not self.restart_policy.proved:
            self.restart_policy.prove()

    def part_arrived(self, number: int, answers: Sequence[Answer | ServingError]) -> None:
        """
        Hand the parts of a streamed batch to its jobs.

        :raises LookupError: no such batch can be answered now, or it has another number of jobs.
        """
        self.in_flight.part_arrived(number, answers)

    def dropped(self, number: int, calls: int) -> None:
        """
        Note that the process has passed over calls that were taken back.

        :raises LookupError: these were not.
        """
        self.in_flight.dropped(number, calls)

    def timed(self, number: int, place: int, marks: CallMarks) -> None:
        """Pass on what the process did when, unless the batch is answered or taken from it by now."""
        if self.tracer is not None:
            for batch in self.in_flight.batches:
                if batch.number == number:
                    self.tracer.call_timed(batch.call_of(place), marks)

    def counted(self, metrics: Sequence[Mapping[str, object]]) -> None:
        """Pass on what the handler counted."""
        self.owner.worker_counted(self, metrics)

    def turn_ended(self) -> None:
        """
        Hand out the answers that came in this turn of the event loop.

        Answers wait until now for two reasons: the worker gets its next batches first, since writing to
        clients takes its time, in which the worker would be idle; and a pool that has several answers at hand
        fills its worker once.
        """
        self.owner.worker_has_room(self)
        self._hand_out()

    def _hand_out(self) -> None:
        tracer = self.tracer
        if tracer is not None and not tracer.under_way:  # as mostly
            tracer = None
        for jobs, answers, calls, times in self.in_flight.take_settled():
            if tracer is not None:
                tracer.answering = told = self.spec, jobs, calls, times.now, times.handler
                # The observers of the others' jobs need not be looked for.
                if tracer.unfolded or (calls == 1 and len(jobs) > 1):
                    both = zip(jobs, answers, strict=True)
                    traced = [each for each in both if each[0].request.flags & TRACED]
                    if traced:
                        tracer.calls_answered(told, traced)
            for job, answer in zip(jobs, answers, strict=True):
                try:
                    job.settle(answer)
                except Exception:
                    # A defect of who waited: the others get their answers.
                    self._told.answer_not_taken()
            self.owner.batch_finished(self, jobs, calls, times)
        if tracer is not None:
            tracer.answering = None
        if self.state is DRAINING and not self.in_flight.batches:
            self._inputs.drained()

    def went_silent(self, failure: WorkerFailure) -> None:
        """Let others have what is in hand, and get nothing: the process may be there, or not."""
        self._hand_out()
        self._inputs.went_silent(failure)

    def heard_again(self) -> None:
        """Be ready again: the process was there all the time."""
        self._inputs.heard_again()

    def exited(self, failure: WorkerFailure) -> None:
        """Hand out what came, and be started again or leave: the process is gone."""
        self.in_flight.take_back()
        process, self.in_flight.process = self.in_flight.process, None
        self.died_laying = process is not None and process.is_laying
        self._hand_out()
        self.failure = failure
        self._told.exited(failure)
        if self.tracer is not None:
            is_wanted = self.state is DRAINING or self.state is WorkerState.STOPPING
            self.tracer.worker_exited(self.spec, failure, is_wanted)
        self._inputs.exited(failure)

    # What the transitions do. Each but ``enter`` is called in the state to which the transition leads.

    def enter(self, state: WorkerState) -> None:
        """Be in ``state``; the timer of the state before is no more. Only the lifecycle calls this."""
        self._set_timer(None)
        before, self.state = self.state, state
        if state is READY:
            if before is not WorkerState.SUSPECT:
                self._told.loaded()
            self.in_flight.open()
            return
        self.in_flight.close()
        if state is DRAINING or state is WorkerState.STOPPING:
            self._told.leaving()

    def _set_timer(self, seconds: float | None) -> None:
        """Let the present state end in so many seconds; None: by an event alone."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None if seconds is None else self.clock.callLater(seconds, self._inputs.timed_out)

    def launch(self, anew: bool = False) -> None:
        """
        Start a process, and the clock of its start.

        :param anew: somebody has asked for it: forget earlier failures.
        """
        if anew:
            self.restart_policy.reset()
        self.launched_at = self.now()
        self.restart_policy.launched(self.clock.seconds())
        self._set_timer(self.timeouts.startup)
        if self.tracer is not None:
            self.tracer.worker_launched(self.spec)
        try:
            self.in_flight.process = self.backend.launch(self, self.spec)
        except Exception as error:
            # A defect of the backend, which shall not have anybody wait for the end of what never was.
            self._told.not_launched()
            failure = WorkerFailure("launch", self.now(), text=str(error))
            self.clock.callLater(0, self.exited, failure)

    def kill(self, cause: str) -> None:
        """End the process now."""
        if cause in TIMEOUTS:
            self._told.timed_out()
        if self.in_flight.process is not None:
            self.in_flight.process.kill(cause)

    def succeed(self) -> None:
        """Tell the pool that the model is loaded: earlier failures are over."""
        if self.tracer is not None:
            self.tracer.worker_loaded(self.spec)
        self.processor_use.begin(self.pid)
        self.owner.worker_ready(self, self.restart_policy.ready(self.clock.seconds()))

    def come_back(self) -> None:
        """Have work again."""
        self.owner.worker_has_room(self)

    def lose(self, failure: WorkerFailure) -> None:
        """Give what was in hand back to the pool."""
        batches = self.in_flight.lose(failure)
        if self.tracer is not None:
            self.tracer.jobs_lost(self.spec, [job for batch in batches for job in batch.jobs], failure)
        self.owner.worker_lost(self, batches, failure)

    def wait_to_restart(self) -> None:
        """Set the timer of the next start, or give up when the recovery window is over."""
        is_blameless = self.failure is not None and self.failure.is_blameless
        delay = self.restart_policy.next_delay(self.clock.seconds(), is_blameless)
        if delay is None or (self.failure is not None and self.failure.permanent):
            self._told.gave_up()
            self._inputs.give_up()
        else:
            self._set_timer(delay)
            self._told.waits(delay, self.now())

    def abandon(self, failure: WorkerFailure) -> None:
        """Wait for no other start: ``failure`` says why there can be none."""
        self.failure = failure
        self._told.gave_up()
        self._set_timer(None)
        self._inputs.give_up()

    def give_up(self) -> None:
        """Tell the pool that the worker waits for nothing any more."""
        self.owner.worker_gave_up(self)

    def drain(self, seconds: float | None) -> None:
        """Finish what is in hand, in so many seconds; None: in the time that an answer may take."""
        self._set_timer(self.timeouts.response if seconds is None else seconds)
        if not self.in_flight.batches:
            self._inputs.drained()

    def end(self) -> None:
        """Ask the process to end; it has its grace for that."""
        self._set_timer(self.timeouts.grace)
        if self.in_flight.process is not None:
            self.in_flight.process.stop()

    def leave(self) -> None:
        """Tell the pool that the worker is gone for good."""
        self.owner.worker_stopped(self)
