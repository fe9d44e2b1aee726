"""The recorder: plain numbers on the request path, made into metrics when somebody asks for them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from attrs import define, field, frozen
from prometheus_client import CollectorRegistry

from modelserver.jobs import Job
from modelserver.metrics.command_sampler import Reported
from modelserver.metrics.declarations import GAUGE, HISTOGRAM, Declaration, Declarations
from modelserver.metrics.exposition import Exposed, new_registry, pieces
from modelserver.metrics.handler_metrics import EmittedMetrics
from modelserver.metrics.host_sampler import HostValue
from modelserver.metrics.log_lines import MetricLine, MetricLog
from modelserver.metrics.modelserver_metrics import OwnMetrics, Tallies
from modelserver.metrics.series import Labels
from modelserver.metrics.tallies import SECONDS, BatchTally, JobTally
from modelserver.metrics.torchserve_metrics import INFERENCE_METRICS, ServerMetrics, Update
from modelserver.spec import VersionDescription

LOG = "log"
PROMETHEUS = "prometheus"
LEGACY = "legacy"

_HOST: Labels = ("Host",)
# Declared as histograms, these need every value; otherwise sums and the last value do.
_TIMES = (*INFERENCE_METRICS, "QueueTime", "WorkerThreadTime", "PredictionTime")
_LOAD_TIME = "WorkerLoadTime"
_PREDICTION_TIME = "PredictionTime"
_DETECTED_PREDICTION_TIME = Declaration(
    _PREDICTION_TIME, GAUGE, "Milliseconds", ("ModelName", "Level", "Hostname")
)
_MEGABYTE = 1024 * 1024


@frozen
class MetricsSettings:
    """
    Which metrics go where.

    :param mode: ``log``, ``prometheus`` or ``legacy``.
    :param auto_detect: handlers' metrics are kept undeclared.
    :param hostname: the last label of the peers' metrics.
    :param dialect: ``torchserve``, or ``mms``, whose metrics go to the log, and handlers' all undeclared.
    """

    declarations: Declarations
    mode: str = LOG
    auto_detect: bool = False
    hostname: str = "localhost"
    dialect: str = "torchserve"


@frozen
class MetricsInputs:
    """
    What the instruments are given.

    :param now: seconds since the epoch.
    :param versions: all versions of all models as they are now; asked at a scrape.
    :param is_served: whether a model of this name is registered.
    :param write_server: takes the lines of ``ts_metrics.log``.
    :param write_model: takes the lines of ``model_metrics.log``.
    """

    now: Callable[[], float]
    versions: Callable[[], Iterable[VersionDescription]]
    is_served: Callable[[str], bool]
    write_server: Callable[[MetricLine], object]
    write_model: Callable[[MetricLine], object]


@define(eq=False)
class MetricsRecorder:
    """
    A ``Recorder`` whose calls add to numbers.

    The peers' metrics go where the mode says; in the mode ``log``, ``write_lines`` is to be called every
    second. This server's own metrics are at the endpoint in every mode.
    """

    settings: MetricsSettings
    inputs: MetricsInputs
    own: OwnMetrics = field(factory=OwnMetrics, init=False)
    server: ServerMetrics = field(init=False)
    emitted: EmittedMetrics = field(init=False)
    _model_sums: ServerMetrics = field(init=False)
    _arrivals: dict[tuple[str, str | None], int] = field(factory=dict, init=False)
    _answers: dict[int, int] = field(factory=dict, init=False)
    _jobs: dict[tuple[str, str, str | None], JobTally] = field(factory=dict, init=False)
    _batches: dict[tuple[str, str], BatchTally] = field(factory=dict, init=False)
    _queue_time: float | None = field(default=None, init=False)
    _thread_time: float | None = field(default=None, init=False)
    _told: dict[tuple[str, object], float] = field(factory=dict, init=False)
    _memory: Mapping[int, int] = field(factory=dict, init=False)
    _set_prediction_time: Update = field(init=False)
    _is_exact: bool = field(init=False)

    def __attrs_post_init__(self) -> None:
        settings, inputs = self.settings, self.inputs
        is_mms = settings.dialect == "mms"
        server_log, model_log = (
            MetricLog(settings.hostname, inputs.now, write, keeps_integers=is_mms)
            for write in (inputs.write_server, inputs.write_model)
        )
        self.server = ServerMetrics(server_log, _exposed_in(LOG if is_mms else settings.mode))
        self.server.declare(settings.declarations.server)
        self.emitted = EmittedMetrics(model_log, settings.auto_detect or is_mms)
        if settings.mode == PROMETHEUS and not is_mms:
            self.emitted.expose(self.server.names())
        self.emitted.declare(settings.declarations.model)
        if self.emitted.auto_detect and _PREDICTION_TIME not in self.emitted.declared:
            self.emitted.declare([_DETECTED_PREDICTION_TIME])
        self._model_sums = ServerMetrics(model_log, lambda name: False)
        self._set_prediction_time = self._prediction_time()
        declared = (*settings.declarations.server, *settings.declarations.model)
        self._is_exact = any(each.name in _TIMES and each.kind == HISTOGRAM for each in declared)

    def _prediction_time(self) -> Update:
        exposed = self.emitted.update(_PREDICTION_TIME)
        if exposed is not None:
            return exposed
        declared = self.emitted.declared.get(_PREDICTION_TIME)
        self._model_sums.declare([] if declared is None else [declared])
        return self._model_sums.update(_PREDICTION_TIME)

    # What happens on the request path.

    def request_arrived(self, model: str, version: str | None) -> None:
        """An inference was accepted; ``version`` is the one that the client named."""
        try:
            self._arrivals[model, version] += 1
        except KeyError:
            self._arrivals[model, version] = 1

    def answered(self, code: int) -> None:
        """An HTTP answer left."""
        try:
            self._answers[code] += 1
        except KeyError:
            self._answers[code] = 1

    def jobs_finished(self, model: str, version: str, jobs: Sequence[Job], now: float) -> None:
        """
        Jobs have their answers.

        The peers' metrics have the version that the client named as their label.

        :param now: when, on the clock that the jobs' times are of.
        """
        tallies, is_exact = self._jobs, self._is_exact
        for job in jobs:
            tally = tallies.get((model, version, job.asked))
            if tally is None:
                tally = tallies[model, version, job.asked] = JobTally(model, version, job.asked or "default")
            arrived = job.arrived
            queued = job.assigned - arrived
            series = tally.queue
            series.counts[bisect_left(SECONDS, queued)] += 1
            series.total += queued
            total = now - arrived
            series = tally.total
            series.counts[bisect_left(SECONDS, total)] += 1
            series.total += total
            self._queue_time = queued
            if is_exact:
                self._fold()

    def batches_finished(
        self, model: str, version: str, batches: int, jobs: int, handler: float, total: float
    ) -> None:
        """
        Batches of like size came back together.

        :param handler: seconds in the handler, for all.
        :param total: seconds since the worker could begin, for all.
        """
        tally = self._batches.get((model, version))
        if tally is None:
            tally = self._batches[model, version] = BatchTally(model, version)
        outside = total - handler
        tally.size.observe(jobs, batches)
        tally.handler.observe(handler, batches)
        tally.outside.observe(outside, batches)
        tally.prediction_time = handler / batches
        self._thread_time = outside / batches
        if self._is_exact:
            for _ in range(batches):
                tally.prediction_time, self._thread_time = handler / batches, outside / batches
                self._fold()

    # What happens less often.

    def refused(self, model: str, cause: str) -> None:
        """A request was refused. Names that no model has are counted together, under an empty one."""
        labels = (model, cause)
        if labels not in self.own.refusals.values and not self.inputs.is_served(model):
            labels = ("", cause)
        self.own.refusals.update(labels, 1)

    def worker_loaded(self, model: str, version: str, worker: str, seconds: float) -> None:
        """A worker is ready, ``seconds`` after it was launched."""
        milliseconds = int(seconds * 1000)
        if self.settings.dialect == "mms":
            name = f"W-{worker}-{model[:25]}"
            self.server.log.tell(Declaration(name, GAUGE, "ms", ("Level", "Hostname")), _HOST, milliseconds)
        else:
            self.server.update(_LOAD_TIME)((_worker_name(model, version, worker), *_HOST), milliseconds)

    def worker_restarted(self, model: str, version: str) -> None:
        """A worker was started again."""
        self.own.restarts.update((model, version), 1)

    def job_retried(self, model: str, version: str) -> None:
        """A job goes to a second worker after its first one died."""
        self.own.retries.update((model, version), 1)

    def handler_metrics(self, model: str, version: str, metrics: Sequence[Mapping[str, object]]) -> None:
        """What a handler emitted through ``context.metrics``."""
        self.emitted.record(metrics)

    def host_sampled(self, values: Iterable[HostValue]) -> None:
        """What the host and its GPUs have left."""
        for each in values:
            labels = _HOST if each.device is None else (*_HOST, str(each.device))
            self.server.update(each.name)(labels, each.value)
            if each.name == "GPUMemoryUsed":
                self.own.gpu_memory.update((str(each.device),), each.value * _MEGABYTE)

    def reported(self, value: Reported) -> None:
        """What the operator's own sampler tells instead."""
        self.server.report(value)
        if value.name == "GPUMemoryUsed" and value.dimensions:
            self.own.gpu_memory.update((value.dimensions[-1],), value.value * _MEGABYTE)

    def memory_sampled(self, memory: Mapping[int, int]) -> None:
        """Resident bytes of workers' process trees, by process id."""
        self._memory = memory

    # What somebody asks for.

    def exposed(self) -> Iterator[Exposed]:
        """Every family that the endpoint shows, as it is now."""
        self._fold()
        versions = list(self.inputs.versions())
        workers = [
            (_worker_name(version.spec.name, version.spec.version, worker.id), *_HOST)
            for version in versions
            for worker in version.workers
        ]
        self.server.keep(_LOAD_TIME, workers)
        tallies = Tallies(self._answers, self._jobs.values(), self._batches.values())
        yield from self.server.exposed(self.settings.hostname)
        yield from self.emitted.exposed(self.settings.hostname)
        yield from self.own.exposed(tallies, versions, self._memory)

    def pieces(self, names: Collection[str] = ()) -> Iterator[bytes]:
        """The endpoint's text; with ``names``, only the samples of these names; pauses are allowed."""
        return pieces(list(self.exposed()), names)

    def scrape(self, names: Collection[str] = ()) -> bytes:
        """The endpoint's text at once."""
        return b"".join(self.pieces(names))

    def registry(self) -> CollectorRegistry:
        """The same in the client library's terms, for other ways to export."""
        return new_registry(self.exposed)

    def write_lines(self) -> None:
        """Write what came since the last call and belongs into the logs."""
        self._fold()
        self.server.write_lines()
        self._model_sums.write_lines()

    def _fold(self) -> None:
        """Bring what was counted since the last time into the declared metrics."""
        for code, count in self._answers.items():
            self._grow(_answer_metric(code), _HOST, code, count)
        for (model, version), count in self._arrivals.items():
            labels = (model, version or "default")
            self._grow("ts_inference_requests_total", labels, (model, version), count)
        for key, job in self._jobs.items():
            labels = (job.model, job.asked)
            self._grow("ts_inference_latency_microseconds", labels, key, job.total.total * 1e6)
            self._grow("ts_queue_latency_microseconds", labels, key, job.queue.total * 1e6)
        self._fold_times()

    def _grow(self, name: str, labels: Labels, key: object, total: float) -> None:
        told = self._told.get((name, key))
        if told is None or told != total:
            self._told[name, key] = total
            self.server.update(name)(labels, total - (told or 0))

    def _fold_times(self) -> None:
        if self._queue_time is not None:
            self.server.update("QueueTime")(_HOST, int(self._queue_time * 1000))
            self._queue_time = None
        if self._thread_time is not None:
            self.server.update("WorkerThreadTime")(_HOST, max(0, int(self._thread_time * 1000)))
            self._thread_time = None
        for batch in self._batches.values():
            if batch.prediction_time is not None:
                self._set_prediction_time((batch.model, "Model"), round(batch.prediction_time * 1000, 2))
                batch.prediction_time = None


def _exposed_in(mode: str) -> Callable[[str], bool]:
    if mode == LEGACY:
        return INFERENCE_METRICS.__contains__
    return lambda name: mode == PROMETHEUS


def _answer_metric(code: int) -> str:
    if 200 <= code < 300:
        return "Requests2XX"
    return "Requests4XX" if 400 <= code < 500 else "Requests5XX"


def _worker_name(model: str, version: str, worker: str) -> str:
    return f"W-{worker}-{model}_{version}"
