"""The workers of one version: how many are wanted, which are there, and who gets the next batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from attrs import define, evolve, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from modelserver.core.providers import CoreProviders
from modelserver.core.queues.batch_queue import BatchAggregator
from modelserver.core.queues.drain_rate import DrainRate
from modelserver.core.workers.batch import Batch, Times
from modelserver.core.workers.busy_poll import BusyPoll
from modelserver.core.workers.recycling import Recycling
from modelserver.core.workers.retries import retry_or_fail
from modelserver.core.workers.worker import MANY, READY, Worker
from modelserver.errors import NotEnoughDevices, NoWorkers, QueueFull, ServingError, WorkersFailed
from modelserver.jobs import Job
from modelserver.spec import VersionSpec, WorkerDescription, WorkerFailure, WorkerSpec, WorkerState

_log = Logger()

# An alias: attribute access on an Enum is slow on the request path.
FAILED = WorkerState.FAILED

LONGEST_RETRY = 600.0
"""Seconds that a refused client is told to wait at most."""


@define(eq=False)
class WorkerPool:
    """Keeps the wanted number of workers, and gives them batches from the version's queue."""

    spec: VersionSpec
    queue: BatchAggregator
    providers: CoreProviders
    make_worker: Callable[..., Worker] = field(default=Worker, kw_only=True)
    minimum: int = field(default=0, init=False)
    maximum: int = field(default=0, init=False)
    workers: list[Worker] = field(factory=list, init=False)
    _leaving: list[Worker] = field(factory=list, init=False)
    _settlers: list[Deferred[None]] = field(factory=list, init=False)
    _leavers: list[Deferred[None]] = field(factory=list, init=False)
    _scheduled: bool = field(default=False, init=False)
    _rate: DrainRate = field(factory=DrainRate, init=False)
    _recycling: Recycling = field(init=False)
    _attention: BusyPoll = field(init=False)
    # Read for each job or batch, and so not through the spec.
    _batch_size: int = field(init=False)
    _has_tickets: bool = field(init=False)
    _max_requests: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._batch_size = self.spec.batching.size
        self._has_tickets = self.spec.queue.tickets
        self._max_requests = self.spec.limits.requests
        self._recycling = Recycling(self._max_requests, self.providers.random)
        self._attention = BusyPoll(self.providers.call_soon, self.providers.awake_turns)

    # How many.

    def scale(
        self, minimum: int, maximum: int, gpu_workers: int | None = None, drain: float | None = None
    ) -> None:
        """
        Want at least ``minimum`` and at most ``maximum`` workers from now on.

        Workers that gave up are started again. The newest leave first.

        :param gpu_workers: how many of the new ones get a GPU; None: as the version's settings say.
        :param drain: seconds that those who leave may take to finish; None: as long as it takes.
        :raises NotEnoughDevices: a worker needs more GPUs than there are.
        """
        added = self._add(minimum - len(self.workers), gpu_workers)
        self.minimum, self.maximum = minimum, maximum
        for worker in self.workers:
            if worker.state is FAILED:
                worker.start()
        for worker in added:
            worker.start()
        surplus = max(0, len(self.workers) - maximum)
        if surplus:
            going = self.workers[-surplus:]
            del self.workers[-surplus:]
            self._leaving += going
            if self._recycling.old in going:
                self._end_recycling()
            for worker in reversed(going):
                worker.stop(drain)
        if not self.workers:
            self.queue.fail_all(self.refusal())
        self._settle()

    def _add(self, count: int, gpu_workers: int | None) -> list[Worker]:
        """So many workers more, not started; where one cannot have its devices, none is added."""
        present = len(self.workers)
        try:
            for _ in range(count):
                self.workers.append(self._new_worker(gpu_workers))
        except NotEnoughDevices:
            for worker in self.workers[present:]:
                self._give_devices_back(worker)
            del self.workers[present:]
            raise
        return self.workers[present:]

    def _new_worker(self, gpu_workers: int | None) -> Worker:
        worker_id = self.providers.next_worker_id(self.spec)
        return self.make_worker(
            self._place(worker_id, gpu_workers),
            self.spec.timeouts,
            self,
            self.providers.backend,
            self.providers.clock,
            self.providers.now,
        )

    def _place(self, worker_id: str, gpu_workers: int | None) -> WorkerSpec:
        spec, devices = self.spec, self.providers.devices
        if spec.devices.parallel_level > 0 and spec.devices.type != "cpu" and devices.count:
            group = devices.take_group(spec.devices.parallel_level, spec.devices.ids)
            if group is None:
                raise NotEnoughDevices(spec.name, spec.devices.parallel_level)
            return WorkerSpec(spec, worker_id, 0, group)
        on_gpus = sum(worker.spec.gpu_id is not None for worker in self.workers)
        if spec.devices.type == "cpu" or (gpu_workers is not None and on_gpus >= gpu_workers):
            return WorkerSpec(spec, worker_id)
        return WorkerSpec(spec, worker_id, devices.take(spec.devices.ids))

    def when_settled(self) -> Deferred[None]:
        """
        Fire when all wanted workers are ready and all others gone.

        Fails with WorkersFailed as soon as a wanted worker fails to load. Cancelling is allowed.
        """
        settled: Deferred[None] = Deferred(self._settlers.remove)
        self._settlers.append(settled)
        self._settle()
        return settled

    def _settle(self) -> None:
        if not self._settlers or self._leaving:
            return
        if all(worker.state is READY for worker in self.workers):
            settlers, self._settlers = self._settlers, []
            for settled in settlers:
                settled.callback(None)

    def _fail_settlers(self, failure: WorkerFailure | None) -> None:
        settlers, self._settlers = self._settlers, []
        for settled in settlers:
            settled.errback(WorkersFailed(self.spec.name, self.spec.version, failure))

    def close(self, drain: float | None = None) -> Deferred[None]:
        """Stop all workers; fires when the last one is gone. Waiting jobs are the caller's to answer."""
        gone: Deferred[None] = Deferred()
        self._leavers.append(gone)
        self.scale(0, 0, drain=drain)
        self._tell_leavers()
        return gone

    def _tell_leavers(self) -> None:
        if not self.workers and not self._leaving:
            leavers, self._leavers = self._leavers, []
            for gone in leavers:
                gone.callback(None)

    @property
    def ready(self) -> int:
        """How many workers have loaded the model."""
        return sum(worker.state is READY for worker in self.workers)

    @property
    def healthy(self) -> int:
        """How many workers run or may still come back."""
        return sum(worker.state is not FAILED for worker in self.workers)

    # Who gets what.

    def put(self, job: Job) -> None:
        """
        Queue a job and see, at the end of this turn, who can take it.

        :raises NoWorkers: there is no worker, and none will come.
        :raises QueueFull: as many jobs wait as may; it tells when to try again.
        """
        for worker in self.workers:
            if worker.state is not FAILED:
                break
        else:
            raise self.refusal()
        if self._has_tickets and self._idle <= self.queue.waiting:
            raise QueueFull(
                self.spec.name, self.spec.version, self.ready, "job ticket", self._seconds_to_drain()
            )
        try:
            self.queue.put(job)
        except QueueFull as error:
            raise evolve(error, retry_after=self._seconds_to_drain()) from None
        if not self._scheduled:
            self.schedule()

    @property
    def _idle(self) -> int:
        return sum(worker.state is READY and not worker.load for worker in self.workers)

    def _seconds_to_drain(self) -> float:
        """How long those who wait now will need, as measured, else as the handler's times promise."""
        waiting = self.queue.length + 1
        measured = self._rate.seconds_for(waiting, self.providers.clock.seconds())
        if measured is None:
            times = [worker.mean_batch for worker in self.workers if worker.state is READY]
            speed = sum(self._batch_size / seconds for seconds in times if seconds)
            measured = waiting / speed if speed else 1.0
        return min(measured, LONGEST_RETRY)

    def refusal(self) -> ServingError:
        """Why no worker will take a job."""
        if self.queue.closed is not None:
            return self.queue.closed
        failures = [worker.failure for worker in self.workers if worker.failure is not None]
        reason = str(failures[-1]) if failures else ""
        return NoWorkers(self.spec.name, self.spec.version, reason)

    def forget(self, job: Job) -> None:
        """The client of a streamed job is gone."""
        for worker in (*self.workers, *self._leaving):
            worker.forget(job)

    def end_worker(self, pid: int, cause: str) -> None:
        """Kill the worker that has this process; its jobs are tried again, and it is started again."""
        for worker in (*self.workers, *self._leaving):
            if worker.pid == pid:
                worker.kill(cause)

    def kill(self) -> None:
        """End everybody for good, now, whatever they have in hand."""
        self.scale(0, 0, drain=0.0)
        for worker in list(self._leaving):
            worker.kill("exit")

    @property
    def is_idle(self) -> bool:
        """Whether no job waits or is in a worker's hand."""
        everybody = (*self.workers, *self._leaving)
        return not self.queue.waiting and not any(worker.in_hand for worker in everybody)

    def describe(self) -> tuple[WorkerDescription, ...]:
        """Every worker as it is now; memory is not the pool's to know."""
        return tuple(
            WorkerDescription(
                worker.id,
                worker.state,
                worker.launched_at,
                worker.pid,
                gpu_id=worker.spec.gpu_id,
                restarts=worker.restart_policy.restarts,
                failure=worker.failure,
            )
            for worker in self.workers
        )

    @property
    def has_many_waiting(self) -> bool:
        """Whether more jobs wait than all workers could have ahead."""
        return self.queue.length > MANY * self._batch_size * len(self.workers)

    def schedule(self) -> None:
        """Hand out batches once the events of this turn are over."""
        if not self._scheduled:
            self._scheduled = True
            self.providers.call_soon(self.dispatch)

    def dispatch(self) -> None:
        """Hand out batches while there are some that are due, and workers that have room."""
        self._scheduled = False
        workers, queue = self.workers, self.queue
        if not queue.length:
            return
        touched: dict[Worker, None] = {}
        while workers:
            worker = workers[0] if len(workers) == 1 else max(workers, key=_room_and_rest)
            room = worker.room
            if room < 1:
                break
            # Each worker gets its share of what waits, so that none is idle while another has some ahead.
            share = -(-queue.length // len(workers))
            jobs = queue.take(worker.load > 0, min(room, share))
            if not jobs:
                break
            worker.assign(jobs, queue.batch_size == 1)
            touched[worker] = None
        for worker in touched:
            worker.flush()
        if len(touched) == 1:
            self._attention.pay(worker)

    # What workers tell.

    def worker_ready(self, worker: Worker, seconds: float) -> None:
        """A worker has loaded the model: it may have work at once."""
        spec = self.spec
        self.providers.recorder.worker_loaded(spec.name, spec.version, worker.id, seconds)
        self._recycling.forget(worker)
        if worker is self._recycling.successor:
            self._end_recycling()
        self._settle()
        self.schedule()

    def worker_has_room(self, worker: Worker) -> None:
        """Answers came: hand out what is due, without waiting for the turn's end."""
        self.dispatch()

    def batch_finished(self, worker: Worker, jobs: Sequence[Job], calls: int, times: Times) -> None:
        """Count batches and their jobs."""
        spec, recorder = self.spec, self.providers.recorder
        self._rate.finished += len(jobs)
        recorder.batches_finished(spec.name, spec.version, calls, len(jobs), times.handler, times.total)
        recorder.jobs_finished(spec.name, spec.version, jobs, times.now)
        if self._max_requests and self._recycling.is_due(worker, len(jobs)):
            self._replace(worker)

    def _replace(self, worker: Worker) -> None:
        """Start a worker that will take this one's place, unless this one leaves anyway."""
        if worker in self.workers:
            successor = self._new_worker(None)
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
        tries = self.spec.limits.retries if self.healthy else 0
        again, retried = retry_or_fail(batches, failure, tries)
        for _ in range(retried):
            self.providers.recorder.job_retried(self.spec.name, self.spec.version)
        self.queue.put_back(again)
        if worker in self.workers and worker.state is not READY:
            self.providers.recorder.worker_restarted(self.spec.name, self.spec.version)
            if not worker.served:
                self._fail_settlers(failure)
        if not self.healthy:
            self.queue.fail_all(self.refusal())
        self.schedule()

    def worker_gave_up(self, worker: Worker) -> None:
        """When no worker is left that may come back, nobody shall wait for one."""
        if worker is self._recycling.successor:
            self.providers.call_soon(self._end_recycling)
            return
        self._fail_settlers(worker.failure)
        if not self.healthy:
            self.queue.fail_all(self.refusal())

    def worker_stopped(self, worker: Worker) -> None:
        """A worker that was to leave has left."""
        if worker in self._leaving:
            self._leaving.remove(worker)
        self._recycling.forget(worker)
        self._give_devices_back(worker)
        self._settle()
        self._tell_leavers()

    def _give_devices_back(self, worker: Worker) -> None:
        spec = worker.spec
        for gpu in (spec.gpu_id,) if spec.visible_devices is None else spec.visible_devices:
            self.providers.devices.give_back(gpu)


def _room_and_rest(worker: Worker) -> tuple[bool, int]:
    """The worker with the least in hand comes first, among those that have room."""
    return worker.room > 0, -worker.load
