"""The workers of one version: how many are wanted, which are there, and who gets the next batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import evolve, field
from twisted.internet.defer import Deferred

from modelserver.core.providers import CoreProviders
from modelserver.core.queues.drain_rate import DrainRate
from modelserver.core.queues.job_queue import JobQueue
from modelserver.core.workers.batch import Batch, Times
from modelserver.core.workers.busy_poll import BusyPoll
from modelserver.core.workers.demand import Demand
from modelserver.core.workers.device_moves import see_to_devices
from modelserver.core.workers.idle_watch import IdleWatch
from modelserver.core.workers.in_flight import MANY, MakeInFlight
from modelserver.core.workers.levelling import Levelling
from modelserver.core.workers.making import WorkerMaker
from modelserver.core.workers.placement import give_place_back
from modelserver.core.workers.recycling import Recycling
from modelserver.core.workers.retries import retry_or_fail
from modelserver.core.workers.retry_after import seconds_to_drain
from modelserver.core.workers.settlement import Settlement
from modelserver.core.workers.waking import Waking
from modelserver.core.workers.worker import READY, Worker
from modelserver.errors import NoWorkers, QueueFull, ServingError, WorkersFailed
from modelserver.jobs import Job
from modelserver.language.attributes import define
from modelserver.spec import VersionSpec, WorkerDescription, WorkerFailure, WorkerState

# An alias: attribute access on an Enum is slow on the request path.
FAILED = WorkerState.FAILED
_THERE = (READY, WorkerState.SUSPECT)


@define(eq=False)
class WorkerPool:
    """Keeps the wanted number of workers, and gives them batches from the version's queue."""

    spec: VersionSpec
    queue: JobQueue
    providers: CoreProviders
    make_in_flight: MakeInFlight
    minimum: int = field(default=0, init=False)
    maximum: int = field(default=0, init=False)
    workers: list[Worker] = field(factory=list, init=False)
    waking: Waking = field(init=False)
    demand: Demand | None = field(default=None, init=False)  # None: nobody wants to know
    _maker: WorkerMaker = field(init=False)
    _leaving: list[Worker] = field(factory=list, init=False)
    _settlement: Settlement = field(init=False)
    _idle_watch: IdleWatch = field(init=False)
    _scheduled: bool = field(default=False, init=False)
    _rate: DrainRate = field(factory=DrainRate, init=False)
    _recycling: Recycling = field(init=False)
    _busy_poll: BusyPoll = field(init=False)
    _levelling: Levelling = field(init=False)
    # Read for each job or batch, and so not through the spec.
    _batch_size: int = field(init=False)
    _has_tickets: bool = field(init=False)
    _max_requests: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._batch_size = self.spec.batching.size
        self._has_tickets = self.spec.queue.tickets
        self._max_requests = self.spec.limits.requests
        self._idle_watch = IdleWatch(lambda: self.is_idle, self.providers.call_soon)
        self._recycling = Recycling(self._max_requests, self.providers.random)
        self._busy_poll = BusyPoll(self.providers.call_soon, self.providers.awake_turns)
        self._levelling = Levelling(self.providers.clock, self.workers)
        self._settlement = Settlement(self.workers, self._leaving)
        self._maker = WorkerMaker(self, self.providers, self.make_in_flight, self.workers)
        self.waking = Waking(
            model=self.spec.name,
            version=self.spec.version,
            queue=self.queue,
            workers=self.workers,
            clock=self.providers.clock,
            call_soon=self.providers.call_soon,
        )

    # How many.

    def scale(
        self,
        minimum: int,
        maximum: int,
        gpu_workers: int | None = None,
        drain: float | None = None,
        revives: bool = True,
    ) -> None:
        """
        Want at least ``minimum`` and at most ``maximum`` workers from now on; the newest leave first.

        :param gpu_workers: how many of the new ones get a GPU; None: as the version's settings say.
        :param drain: seconds that those who leave may take to finish; None: as long as it takes.
        :param revives: workers that gave up are started again; else they are the first to leave.
        :raises NotEnoughDevices: a worker needs more GPUs than there are.
        """
        added = self._maker.add(self.spec, minimum - len(self.workers), gpu_workers)
        self.minimum, self.maximum = minimum, maximum
        if revives:
            for worker in self.workers:
                if worker.state is FAILED:
                    worker.start()
        for worker in added:
            worker.start()
        surplus = max(0, len(self.workers) - maximum)
        if surplus:
            going = sorted(self.workers, key=lambda worker: worker.state is FAILED)[-surplus:]
            for worker in going:
                self.workers.remove(worker)
            self._leaving += going
            if self._recycling.old in going:
                self._end_recycling()
            for worker in reversed(going):
                worker.stop(drain)
            if not self.workers:
                self.waking.end()  # those that were brought are taken away
        self._answer_or_hold()
        self._settlement.look()

    def when_settled(self) -> Deferred[None]:
        """
        Return a Deferred that fires when all wanted workers are ready and all others gone.

        Fails with WorkersFailed as soon as a wanted worker fails to load. Cancelling is allowed.
        """
        return self._settlement.when_settled()

    def _fail_settlers(self, failure: WorkerFailure | None) -> None:
        if self._settlement.is_awaited:
            self._settlement.fail(WorkersFailed(self.spec.name, self.spec.version, failure))

    def close(self, drain: float | None = None) -> Deferred[None]:
        """Stop all workers; fires when the last one is gone. Waiting jobs are the caller's to answer."""
        self.waking.close()
        self.scale(0, 0, drain=drain)
        return self._settlement.when_empty()

    @property
    def ready(self) -> int:
        """How many workers have loaded the model."""
        return sum(worker.state is READY for worker in self.workers)

    @property
    def healthy(self) -> int:
        """How many workers run or may still come back."""
        return sum(worker.state is not FAILED for worker in self.workers)

    @property
    def is_on_call(self) -> bool:
        """Whether a job would be held for workers that it brings, or that are on their way already."""
        if not self.workers:
            return self.waking.is_open
        return self.waking.is_under_way and self.healthy > 0

    # Who gets what.

    def put(self, job: Job) -> None:
        """
        Queue a job and see, at the end of this turn, who can take it.

        :raises NoWorkers: there is no worker, and none will come, be it by this job.
        :raises QueueFull: as many jobs wait as may; it tells when to try again.
        """
        if self.demand is not None:
            self.demand.arrived += 1
        for worker in self.workers:
            if worker.state is not FAILED:
                break
        else:
            if self.workers or not self.waking.begin():
                raise self.refusal()
        if self._has_tickets and not self.waking.is_under_way and self._idle <= self.queue.waiting:
            raise QueueFull(
                self.spec.name, self.spec.version, self.ready, "job ticket", self.seconds_to_drain()
            )
        try:
            self.queue.put(job)
        except QueueFull as error:
            raise evolve(error, retry_after=self.seconds_to_drain()) from None
        if not self._scheduled:
            self.schedule()

    @property
    def _idle(self) -> int:
        return sum(worker.state is READY and not worker.in_flight.load for worker in self.workers)

    def seconds_to_drain(self) -> float:
        """Return the seconds in which the queue empties, as measured, else by the handler's mean times."""
        now, length = self.providers.clock.seconds(), self.queue.length
        return seconds_to_drain(self._rate, length + 1, now, self.workers, self._batch_size)

    def refusal(self) -> ServingError:
        """Return the reason why no worker will take a job."""
        if self.queue.closed is not None:
            return self.queue.closed
        failures = [worker.failure for worker in self.workers if worker.failure is not None]
        reason = str(failures[-1]) if failures else ""
        return NoWorkers(self.spec.name, self.spec.version, reason)

    def end_worker(self, pid: int, cause: str) -> None:
        """Kill the worker that has this process; its jobs are tried again, and it is started again."""
        for worker in (*self.workers, *self._leaving):
            if worker.pid == pid:
                worker.kill(cause)

    def kill(self) -> None:
        """End everybody for good, now, whatever they have in hand."""
        self.waking.close()
        self.scale(0, 0, drain=0.0)
        for worker in list(self._leaving):
            worker.kill("exit")

    @property
    def served(self) -> int:
        """How many jobs came back from workers so far."""
        return self._rate.finished

    @property
    def jobs_in_hand(self) -> int:
        """How many jobs the wanted workers have, answered or not."""
        return sum(len(batch.jobs) for worker in self.workers for batch in worker.in_flight.batches)

    @property
    def jobs_ahead(self) -> int:
        """How many of these have not begun: they count as waiting."""
        return sum(worker.in_flight.jobs_ahead for worker in self.workers)

    @property
    def is_idle(self) -> bool:
        """Whether no job waits or is in a worker's hand."""
        everybody = (*self.workers, *self._leaving)
        return not self.queue.waiting and not any(worker.in_flight.load for worker in everybody)

    def when_idle(self) -> Deferred[None]:
        """Fire when no job waits or is in a worker's hand; the queue must be closed. May be cancelled."""
        return self._idle_watch.when_idle(self.queue.jobs())

    def describe(self) -> tuple[WorkerDescription, ...]:
        """Describe every worker as it is now, without its memory, which the pool does not know."""
        return tuple(worker.describe() for worker in self.workers)

    @property
    def has_many_waiting(self) -> bool:
        """Whether more jobs wait than all workers could have ahead."""
        return self.queue.length > MANY * self._batch_size * len(self.workers)

    def schedule(self) -> None:
        """
        Hand out batches once the events of this turn of the event loop are over.

        A turn brings the requests of many connections. Handed out at its end, they leave together: one batch
        and one write to a worker instead of one for each. However often this is called in one turn,
        ``dispatch`` runs once.
        """
        if not self._scheduled:
            self._scheduled = True
            self.providers.call_soon(self.dispatch)

    def dispatch(self) -> None:
        """Hand out batches while there are some that are due, and workers that have room."""
        self._scheduled = False
        queue, workers = self.queue, self.workers
        if (due := queue.next_batch(workers)) is None:
            if len(workers) > 1:
                self._levelling.watch()
            return
        touched: dict[Worker, None] = {}
        while due is not None:
            worker, jobs = due
            worker.in_flight.assign(jobs, queue.pipelined)
            touched[worker] = None
            due = queue.next_batch(workers)
        for worker in touched:
            worker.in_flight.flush()
        if len(touched) == 1:
            self._busy_poll.start(worker.in_flight)
        self._levelling.watch()

    def put_back(self, jobs: list[Job]) -> None:
        """Let jobs wait again that a worker had, and has not begun."""
        self.queue.put_back(jobs)
        self._idle_watch.watch(jobs)
        self.schedule()

    # What workers tell.

    def worker_ready(self, worker: Worker, seconds: float) -> None:
        """Let a worker that has loaded the model have work at once."""
        spec = self.spec
        self.providers.recorder.worker_loaded(spec.name, spec.version, worker.id, seconds)
        if self.providers.memory is not None:
            self.providers.memory.loaded(worker.spec)
        if (slept := self.waking.end()) is not None:
            self.providers.recorder.woken(spec.name, spec.version, slept)
        if self.demand is not None:
            self.demand.load = seconds
        self._recycling.reset_count(worker)
        if worker is self._recycling.successor:
            self._end_recycling()
        self._settlement.look()
        self.schedule()

    def worker_has_room(self, worker: Worker) -> None:
        """Hand out what is due, before the observers of the jobs that were answered are told."""
        if self.queue.learns:
            for jobs, _, calls, times in worker.in_flight.settled:
                self.queue.learn(len(jobs), calls, times.handler)
        if self.queue.frees_when_settled:
            self.schedule()
        else:
            self.dispatch()

    def batch_finished(self, worker: Worker, jobs: Sequence[Job], calls: int, times: Times) -> None:
        """Count batches and their jobs."""
        spec, recorder = self.spec, self.providers.recorder
        self._rate.finished += len(jobs)
        recorder.batches_finished(spec.name, spec.version, calls, len(jobs), times.handler, times.total)
        recorder.jobs_finished(spec.name, spec.version, jobs, times.now)
        if self.demand is not None:
            self.demand.came_back(len(jobs), calls, times.handler)
        if self._max_requests and self._recycling.is_due(worker, len(jobs)):
            self._replace(worker)
        if self.queue.closed is not None:
            self._idle_watch.look()

    def _replace(self, worker: Worker) -> None:
        """Start a worker that will take this one's place, unless this one leaves anyway."""
        if worker in self.workers:
            successor = self._maker.make(self.spec)
            self._recycling.begin(worker, successor)
            successor.start()

    def _end_recycling(self) -> None:
        """Let a successor that is ready take its place, and one that is not wanted any more go."""
        pair = self._recycling.end()
        if pair is None:
            return
        old, successor = pair
        is_wanted = old in self.workers and successor.state is READY
        if is_wanted:
            self.workers[self.workers.index(old)] = successor
        leaver = old if is_wanted else successor
        self._leaving.append(leaver)
        leaver.stop()

    def worker_counted(self, worker: Worker, metrics: Sequence[Mapping[str, object]]) -> None:
        """Pass on what a handler counted."""
        self.providers.recorder.handler_metrics(self.spec.name, self.spec.version, metrics)

    def worker_lost(self, worker: Worker, batches: Sequence[Batch], failure: WorkerFailure) -> None:
        """See to the jobs that a dead worker had: the other workers, or its successor, take them."""
        see_to_devices(worker, failure, self.providers)
        may_be_served = self.healthy or self.is_on_call
        tries = self.spec.limits.retries if may_be_served and not worker.died_laying else 0
        again, retried = retry_or_fail(batches, failure, tries)
        for _ in range(retried):
            self.providers.recorder.job_retried(self.spec.name, self.spec.version)
        self.queue.put_back(again)
        self._idle_watch.watch(again)
        self._idle_watch.look()
        if worker in self.workers and worker.state not in _THERE:
            self.providers.recorder.worker_restarted(self.spec.name, self.spec.version)
            if not worker.in_flight.pace.calls:
                self._fail_settlers(failure)
        self._answer_or_hold()
        self.schedule()
        self.queue.worker_gone(worker.id, str(failure))

    def worker_gave_up(self, worker: Worker) -> None:
        """When no worker is left that may come back, nobody shall wait for one."""
        if worker is self._recycling.successor:
            self.providers.call_soon(self._end_recycling)
            return
        self._fail_settlers(worker.failure)
        self._answer_or_hold()

    def _answer_or_hold(self) -> None:
        """Where no worker runs or will, answer those that wait, or have workers brought on their call."""
        if self.healthy:
            return
        if not self.workers and self.waking.is_open:
            self.waking.begin_for_waiting()
            return
        self.waking.end()
        self.queue.fail_all(self.refusal())

    def worker_stopped(self, worker: Worker) -> None:
        """Give back the devices of a worker that was to leave and has left."""
        if worker in self._leaving:
            self._leaving.remove(worker)
        self._recycling.reset_count(worker)
        give_place_back(worker.spec, self.providers)
        self._settlement.look()
        self.queue.worker_gone(worker.id, "the worker of the sequence was stopped")
