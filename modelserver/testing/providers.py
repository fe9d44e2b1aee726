"""Providers in memory of every seam, for tests: they behave, and they tell what happened to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path

from attrs import evolve, field, fields_dict
from twisted.internet.task import Clock

from modelserver.core.gpus import Devices
from modelserver.core.ids import WorkerNumbers
from modelserver.core.memory_budget import MemoryBudget
from modelserver.core.providers import CoreProviders
from modelserver.core.quarantine import Quarantine
from modelserver.core.version import ModelVersion, new_version
from modelserver.devices import Gpu, GpuMemory, GpuUsage
from modelserver.errors import PredictionFailed, ServingError
from modelserver.interfaces import WorkerEvents, WorkerProcess
from modelserver.jobs import Answer, Job, JobRequest, SharedSlot
from modelserver.language.attributes import define
from modelserver.spec import VersionSpec, WorkerDescription, WorkerFailure, WorkerPlace, WorkerSpec

START_OF_TIME = 1_700_000_000.0
"""What tests take for the seconds since the epoch when a Clock is at 0."""


def make_spec(name: str = "resnet", version: str = "1.0", **more: object) -> VersionSpec:
    """
    Return a version whose archive nobody reads.

    :param more: other fields of ``VersionSpec``, and settings by their names in the table.
    """
    spec = VersionSpec(name, version, f"{name}.mar", Path("/nowhere"), "handler")
    places = {key: value for key, value in more.items() if key in fields_dict(VersionSpec)}
    spec = evolve(spec, **places)  # type: ignore[arg-type]  # the names are the caller's
    return spec.with_settings({key: value for key, value in more.items() if key not in places})


@define(eq=False)
class CollectingObserver:
    """Keeps what it is told, in order: answers, parts and errors."""

    answers: list[Answer] = field(factory=list)
    parts: list[Answer] = field(factory=list)
    errors: list[ServingError] = field(factory=list)
    can_take: bool = True

    def completed(self, job: Job, answer: Answer) -> None:
        """Keep an answer."""
        self.answers.append(answer)

    def next_parts(self, job: Job, parts: Sequence[Answer]) -> bool:
        """Keep parts."""
        self.parts += parts
        return self.can_take

    def failed(self, job: Job, error: ServingError) -> None:
        """Keep an error."""
        self.errors.append(error)

    @property
    def reasons(self) -> list[str]:
        """The errors as text with their data; exceptions are equal only to themselves."""
        return [repr(error) for error in self.errors]

    @property
    def bodies(self) -> list[bytes]:
        """The bodies of the answers."""
        return [bytes(answer.body) for answer in self.answers]


def make_job(
    body: bytes | SharedSlot = b"",
    arrived: float = 0.0,
    observer: CollectingObserver | None = None,
    **more: object,
) -> Job:
    """
    Make a job, a plain one unless told otherwise.

    :param more: other fields of its request, and ``exclusive``.
    """
    request_id = body.rjust(16, b"\0")[:16] if isinstance(body, bytes) else bytes(16)
    exclusive = bool(more.pop("exclusive", False))
    request = JobRequest(request_id, b"", b"", body, 0, None, arrived, None)
    return Job(request._replace(**more), observer or CollectingObserver(), exclusive)  # type: ignore[arg-type]  # the names are the caller's


@define(eq=False)
class MemoryWorker:
    """
    A worker process that is told by the test what it does.

    :param done: how many of its calls are done, whose answers it keeps.
    :param begins: whether it has begun the call behind these; else it could still be taken back.
    """

    events: WorkerEvents
    spec: WorkerSpec
    now: Callable[[], float]
    batches: list[tuple[int, Sequence[Job]]] = field(factory=list, init=False)
    cancelled: list[tuple[int, int]] = field(factory=list, init=False)
    holds: list[tuple[int, bool]] = field(factory=list, init=False)
    flushed: int = field(default=0, init=False)
    done: int = field(default=0, init=False)
    begins: bool = field(default=True, init=False)
    _passed_over: list[tuple[int, int]] = field(factory=list, init=False)
    is_stopping: bool = field(default=False, init=False)
    ends_when_told: bool = field(default=True, init=False)
    is_gone: bool = field(default=False, init=False)
    _next_pid = count(40000)
    pid: int | None = field(init=False)
    threads: int | None = field(default=None, init=False)
    gpu_memory: GpuMemory | None = field(default=None, init=False)
    place: WorkerPlace | None = field(default=None, init=False)
    under_way: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self.pid = next(self._next_pid)

    goes_ahead: bool = field(default=True, init=False)
    is_laying: bool = field(default=False, init=False)

    def calls_under_way(self, seconds: float) -> int:
        """Return what the test has said."""
        return self.under_way

    def send(self, number: int, jobs: Sequence[Job], pipelined: bool = False, ahead: bool = False) -> None:
        """Take a batch, or several that travel together and are answered one after the other."""
        assert not self.is_gone
        assert not (ahead and self._passed_over), "an old call could be taken for a new one"
        self.batches += [(number, [job]) for job in jobs] if pipelined else [(number, jobs)]

    def flush(self) -> None:
        """Count."""
        self.flushed += 1

    def take_back(self) -> int:
        """Give back what is not begun."""
        left = self.done + self.begins
        taken, self.batches = self.batches[left:], self.batches[:left]
        for number, calls in Counter(number for number, _ in taken).items():
            self._passed_over.append((number, calls))
        return len(taken)

    def pass_over(self) -> None:
        """Come to the calls that were taken back, and report that they are not made."""
        passed_over, self._passed_over = self._passed_over, []
        for number, calls in passed_over:
            self.events.dropped(number, calls)

    def collect_answers(self) -> None:
        """Report the answers that are kept, each the body of its job."""
        if self.done:
            done, self.done = self.done, 0
            for _ in range(done):
                self.answer(end_turn=False)
            self.events.turn_ended()

    def cancel(self, number: int, index: int) -> None:
        """Note it."""
        self.cancelled.append((number, index))

    def hold(self, number: int, is_held: bool) -> None:
        """Note it."""
        self.holds.append((number, is_held))

    def stop(self) -> None:
        """End, unless the test has said that this worker does not listen."""
        self.is_stopping = True
        if self.ends_when_told:
            self.exit(WorkerFailure("exit", self.now(), exit_code=0))

    def kill(self, cause: str) -> None:
        """End."""
        self.exit(WorkerFailure(cause, self.now(), signal="SIGKILL"))

    # What tests do with it.

    def load(self) -> None:
        """Report that the model is loaded."""
        self.events.started()
        self.events.loaded()

    def exit(self, failure: WorkerFailure) -> None:
        """End for this reason; the answers that are kept are not lost by it."""
        if not self.is_gone:
            done, self.done = self.done, 0
            for _ in range(done):
                self.answer(end_turn=False)
            self.is_gone = True
            self.pid = None
            self.events.exited(failure)

    def answer(self, *items: Answer | PredictionFailed, seconds: float = 0.05, end_turn: bool = True) -> None:
        """Answer the oldest batch; without items, each job gets its own body back."""
        number, jobs = self.batches.pop(0)
        answers = items or tuple(
            Answer(200, b"", body)
            for body in (job.request.body for job in jobs)
            if not isinstance(body, SharedSlot)
        )
        self.events.answered(number, answers, seconds)
        if not self.batches:
            self.pass_over()
        if end_turn:
            self.events.turn_ended()

    def send_part(self, *parts: bytes) -> None:
        """Send a part of the oldest batch."""
        self.events.part_arrived(self.batches[0][0], [Answer(200, b"", part) for part in parts])


@define(eq=False)
class MemoryBackend:
    """
    Launches workers in memory.

    :param loads: workers load at once, as if nothing had to be done.
    """

    now: Callable[[], float] = lambda: START_OF_TIME
    loads: bool = False
    call_soon: Callable[[Callable[[], None]], object] | None = None
    workers: list[MemoryWorker] = field(factory=list, init=False)
    retired: list[tuple[str, str]] = field(factory=list, init=False)
    templates: dict[tuple[str, str], WorkerDescription] = field(factory=dict, init=False)

    def launch(self, events: WorkerEvents, spec: WorkerSpec) -> WorkerProcess:
        """Start a worker in memory."""
        worker = MemoryWorker(events, spec, self.now)
        self.workers.append(worker)
        if self.loads and self.call_soon is not None:
            self.call_soon(worker.load)
        return worker

    def retire(self, name: str, version: str) -> None:
        """Note that the version is gone."""
        self.retired.append((name, version))

    def describe(self, name: str, version: str) -> WorkerDescription | None:
        """The template that a test has put into ``templates``."""
        return self.templates.get((name, version))

    @property
    def last(self) -> MemoryWorker:
        """The newest worker."""
        return self.workers[-1]


@define(eq=False)
class CountingRecorder:
    """Counts how often each thing was recorded, by method and arguments that name things."""

    counts: dict[tuple[str, ...], int] = field(factory=dict)

    def _count(self, *what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def request_arrived(self, model: str, version: str | None) -> None:
        """Count."""
        self._count("request_arrived", model)

    def answered(self, code: int) -> None:
        """Count."""
        self._count("answered", str(code))

    def calls_ended(self, method: str, code: str, seconds: Sequence[float], received: int, sent: int) -> None:
        """Count."""
        for _ in seconds:
            self._count("call_ended", method, code)

    def jobs_finished(self, model: str, version: str, jobs: Sequence[Job], now: float) -> None:
        """Count."""
        for job in jobs:
            self._count("job_finished", model, *([] if job.request.asked is None else [job.request.asked]))

    def batches_finished(
        self, model: str, version: str, batches: int, jobs: int, handler: float, total: float
    ) -> None:
        """Count."""
        for _ in range(batches):
            self._count("batch_finished", model)

    def refused(self, model: str, cause: str) -> None:
        """Count."""
        self._count("refused", model, cause)

    def worker_loaded(self, model: str, version: str, worker: str, seconds: float) -> None:
        """Count."""
        self._count("worker_loaded", model)

    def woken(self, model: str, version: str, seconds: float) -> None:
        """Count."""
        self._count("woken", model)

    def scale_decided(self, model: str, version: str, reason: str) -> None:
        """Count."""
        self._count("scale_decided", model, reason)

    def worker_restarted(self, model: str, version: str) -> None:
        """Count."""
        self._count("worker_restarted", model)

    def job_retried(self, model: str, version: str) -> None:
        """Count."""
        self._count("job_retried", model)

    def handler_metrics(self, model: str, version: str, metrics: Sequence[Mapping[str, object]]) -> None:
        """Count."""
        self._count("handler_metrics", model)

    def node_called(
        self, workflow: str, node: str, outcome: str, seconds: float | None, queued: float | None
    ) -> None:
        """Count."""
        self._count("node_called", workflow, node, outcome)

    def workflow_ended(self, workflow: str, outcome: str, seconds: float) -> None:
        """Count."""
        self._count("workflow_ended", workflow, outcome)

    def workflow_gone(self, workflow: str) -> None:
        """Count."""
        self._count("workflow_gone", workflow)

    def version_gone(self, model: str, version: str) -> None:
        """Count."""
        self._count("version_gone", model, version)


@define
class FakeInventory:
    """A machine with so many GPUs, some of them ill; of those in ``totals`` the bytes are known."""

    number: int = 0
    illnesses: dict[int, str] = field(factory=dict)
    totals: dict[int, int] = field(factory=dict)

    def illness(self, gpu_id: int) -> str | None:
        """What a test says."""
        return self.illnesses.get(gpu_id)

    def gpus(self) -> Sequence[Gpu]:
        """The GPUs."""
        return [Gpu(gpu, f"fake {gpu}") for gpu in range(self.number)]

    def usage(self, gpu_id: int) -> GpuUsage | None:
        """The same load on each."""
        total = self.totals.get(gpu_id, 0)
        return GpuUsage(10.0, 20.0, 1 << 30, total) if gpu_id < self.number else None


@define(eq=False)
class Stage:
    """A Clock, a backend in memory, and what pools need of them."""

    gpus: int = 0
    loads: bool = False
    memory: MemoryBudget | None = None
    clock: Clock = field(factory=Clock, init=False)
    recorder: CountingRecorder = field(factory=CountingRecorder, init=False)
    backend: MemoryBackend = field(init=False)
    devices: Devices = field(init=False)
    providers: CoreProviders = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.backend = MemoryBackend(self.now, self.loads, self.call_soon)
        self.devices = Devices(self.gpus, Quarantine(self.clock.seconds))
        self.providers = CoreProviders(
            self.backend,
            self.devices,
            self.clock,
            self.now,
            WorkerNumbers().take,
            self.call_soon,
            self.recorder,
            memory=self.memory,
        )

    def now(self) -> float:
        """Seconds since the epoch."""
        return START_OF_TIME + self.clock.seconds()

    def call_soon(self, call: Callable[[], None]) -> None:
        """At the next advance of the clock, also one of 0 seconds."""
        self.clock.callLater(0, call)

    def turn(self) -> None:
        """Let what was to happen soon happen."""
        self.clock.pump([0, 0, 0])

    def version(self, spec: VersionSpec) -> ModelVersion:
        """A version with a queue and a pool."""
        return new_version(spec, self.providers)
