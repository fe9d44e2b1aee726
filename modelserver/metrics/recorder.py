"""The recorder: adds plain numbers on the request path, and makes metrics of them at a scrape."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from attrs import field

from modelserver.dialect_rules import DIALECTS, TORCHSERVE
from modelserver.jobs import Job
from modelserver.language.attributes import define, frozen
from modelserver.metrics.command_sampler import Reported
from modelserver.metrics.declarations import GAUGE, HISTOGRAM, Declaration, Declarations
from modelserver.metrics.departures import Departed, Departures
from modelserver.metrics.exposition import Exposed, pieces
from modelserver.metrics.figures import Figures, of_calls, of_versions
from modelserver.metrics.handler_metrics import EmittedMetrics
from modelserver.metrics.host_readings import HostReadings
from modelserver.metrics.host_sampler import HostValue, Sample
from modelserver.metrics.log_lines import MetricLine, MetricLog
from modelserver.metrics.modelserver_metrics import ModelServerMetrics
from modelserver.metrics.openmetrics import Exemplars, openmetrics_pieces
from modelserver.metrics.scrape_readings import ScrapeReadings
from modelserver.metrics.tallies import SECONDS, BatchTally, CallTally, JobTally, RequestTallies
from modelserver.metrics.torchserve_metrics import INFERENCE_METRICS, TorchServeMetrics, Update
from modelserver.metrics.torchserve_totals import HOST, TorchServeTotals
from modelserver.metrics.workflow_metrics import WorkflowMetrics
from modelserver.spec import VersionDescription

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

LOG = "log"
PROMETHEUS = "prometheus"
LEGACY = "legacy"

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
    Which metrics are kept, and where they go.

    :param mode: ``log``, ``prometheus`` or ``legacy``.
    :param auto_detect: handlers' metrics are kept undeclared.
    :param hostname: the last label of TorchServe's metrics.
    :param dialect: ``torchserve``; or ``mms``: all metrics go to the log, handlers' without a declaration.
    """

    declarations: Declarations
    mode: str = LOG
    auto_detect: bool = False
    hostname: str = "localhost"
    dialect: str = TORCHSERVE.name


@frozen
class MetricsInputs:
    """
    What the recorder is given.

    :param now: seconds since the epoch.
    :param versions: all versions of all models as they are now; asked at a scrape.
    :param is_served: whether a model of this name is registered.
    :param write_server: takes the lines of ``ts_metrics.log``; ``write_model``: of ``model_metrics.log``.
    :param model_told: called after the lines of what a handler has counted, before its answers leave.
    :param spans: how many spans of traces had which outcome; nothing while nothing is traced.
    """

    now: Callable[[], float]
    versions: Callable[[], Iterable[VersionDescription]]
    is_served: Callable[[str], bool]
    write_server: Callable[[MetricLine], object]
    write_model: Callable[[MetricLine], object]
    model_told: Callable[[], object] = dict
    spans: Callable[[], Mapping[str, int]] = dict


@define(eq=False)
class MetricsRecorder:
    """
    A ``Recorder`` whose calls add to numbers.

    TorchServe's metrics go where the mode says; in the mode ``log``, ``write_lines`` is to be called every
    second. The metrics that only modelserver has are at the endpoint in every mode.

    :param read_at_scrape: returns what others know; asked at a scrape.
    """

    settings: MetricsSettings
    inputs: MetricsInputs
    read_at_scrape: Callable[[], ScrapeReadings] = field(default=ScrapeReadings, init=False)
    _tallies: RequestTallies = field(factory=RequestTallies, init=False)
    _modelserver: ModelServerMetrics = field(factory=ModelServerMetrics, init=False)
    _workflows: WorkflowMetrics = field(factory=WorkflowMetrics, init=False)
    _torchserve: TorchServeMetrics = field(init=False)
    _handlers: EmittedMetrics = field(init=False)
    _totals: TorchServeTotals = field(init=False)
    _exemplars: Exemplars = field(factory=Exemplars, init=False)
    _departures: Departures = field(factory=Departures, init=False)
    _sample: Sample = field(factory=Sample, init=False)
    _host: HostReadings = field(factory=HostReadings, init=False)
    _is_exact: bool = field(init=False)

    def __attrs_post_init__(self) -> None:
        settings, inputs = self.settings, self.inputs
        declares = DIALECTS[settings.dialect].declares_metrics
        server_log, model_log = (
            MetricLog(settings.hostname, inputs.now, write, keeps_integers=not declares)
            for write in (inputs.write_server, inputs.write_model)
        )
        self._torchserve = TorchServeMetrics(server_log, _exposed_in(settings.mode if declares else LOG))
        self._torchserve.declare(settings.declarations.server)
        self._handlers = EmittedMetrics(model_log, settings.auto_detect or not declares)
        if settings.mode == PROMETHEUS and declares:
            self._handlers.expose(self._torchserve.names())
        self._handlers.declare(settings.declarations.model)
        if self._handlers.auto_detect and _PREDICTION_TIME not in self._handlers.declared:
            self._handlers.declare([_DETECTED_PREDICTION_TIME])
        model_sums = TorchServeMetrics(model_log, lambda name: False)
        set_prediction_time = _prediction_time(self._handlers, model_sums)
        self._totals = TorchServeTotals(self._torchserve, model_sums, set_prediction_time)
        declared = (*settings.declarations.server, *settings.declarations.model)
        self._is_exact = any(each.name in _TIMES and each.kind == HISTOGRAM for each in declared)

    # The request path.

    def request_arrived(self, model: str, version: str | None) -> None:
        """Count an inference that was accepted; ``version`` is the one that the client named, or None."""
        arrivals = self._tallies.arrivals
        try:
            arrivals[model, version] += 1
        except KeyError:
            arrivals[model, version] = 1

    def answered(self, code: int) -> None:
        """Count an HTTP answer by its status code."""
        answers = self._tallies.answers
        try:
            answers[code] += 1
        except KeyError:
            answers[code] = 1

    def calls_ended(self, method: str, code: str, seconds: Sequence[float], received: int, sent: int) -> None:
        """Count gRPC calls that ended with the code of this name, with their bytes of messages either way."""
        calls = self._tallies.calls
        tally = calls.get(method)
        if tally is None:
            tally = calls[method] = CallTally(method)
        tally.codes[code] = tally.codes.get(code, 0) + len(seconds)
        tally.seconds.observe(seconds)
        tally.received += received
        tally.sent += sent

    def jobs_finished(self, model: str, version: str, jobs: Sequence[Job], now: float) -> None:
        """
        Count jobs that have their answers. TorchServe's metrics have the version that the client named as
        their label.

        :param now: the time of the answers, in seconds on the monotonic clock of the jobs' times.
        """
        known, totals, is_exact = self._tallies.jobs, self._totals, self._is_exact
        tally: JobTally | None = None
        last: str | None = None
        queued = 0.0
        for job in jobs:
            _, _, _, _, _, asked, arrived, _ = job.request
            if tally is None or asked is not last:
                last = asked
                tally = known.get((model, version, asked))
                if tally is None:
                    tally = known[model, version, asked] = JobTally(model, version, asked or "default")
                waiting, whole = tally.queue, tally.total
            queued = job.assigned - arrived
            waiting.counts[bisect_left(SECONDS, queued)] += 1
            waiting.total += queued
            total = now - arrived
            whole.counts[bisect_left(SECONDS, total)] += 1
            whole.total += total
            if is_exact:
                totals.queue_time = queued
                totals.carry_over(self._tallies)
        if tally is not None and not is_exact:
            totals.queue_time = queued

    def batches_finished(
        self, model: str, version: str, batches: int, jobs: int, handler: float, total: float
    ) -> None:
        """
        Count batches of like size that came back together.

        :param handler: seconds in the handler, for all batches together.
        :param total: seconds since the worker could begin, for all batches together.
        """
        totals, known = self._totals, self._tallies.batches
        tally = known.get((model, version))
        if tally is None:
            tally = known[model, version] = BatchTally(model, version)
        outside = total - handler
        tally.observe(jobs, batches, handler, outside)
        mean, mean_outside = handler / batches, outside / batches
        tally.prediction_time, totals.thread_time = mean, mean_outside
        if self._is_exact:
            for _ in range(batches):
                tally.prediction_time, totals.thread_time = mean, mean_outside
                totals.carry_over(self._tallies)

    def node_called(
        self, workflow: str, node: str, outcome: str, seconds: float | None, queued: float | None
    ) -> None:
        """Count an attempt at a node of a workflow."""
        self._workflows.node_called(workflow, node, outcome, seconds, queued)

    def workflow_ended(self, workflow: str, outcome: str, seconds: float) -> None:
        """Count a request to a workflow."""
        self._workflows.ended(workflow, outcome, seconds)

    # Rarer events.

    def traced(self, model: str, version: str, seconds: float, trace: tuple[str, float]) -> None:
        """Keep a traced request as an example of those that take as long; ``trace``: see ``Exemplars``."""
        self._exemplars.note(model, version, seconds, trace)

    def refused(self, model: str, cause: str) -> None:
        """Count a refused request. Names that no model has are counted together, under an empty name."""
        labels = (model, cause)
        if labels not in self._modelserver.refusals.values and not self.inputs.is_served(model):
            labels = ("", cause)
        self._modelserver.refusals.update(labels, 1)

    def worker_loaded(self, model: str, version: str, worker: str, seconds: float) -> None:
        """Note that a worker is ready, ``seconds`` after its launch."""
        milliseconds = int(seconds * 1000)
        if not DIALECTS[self.settings.dialect].declares_metrics:
            name = f"W-{worker}-{model[:25]}"
            declaration = Declaration(name, GAUGE, "ms", ("Level", "Hostname"))
            self._torchserve.log.tell(declaration, HOST, milliseconds)
        else:
            self._torchserve.update(_LOAD_TIME)((_worker_name(model, version, worker), *HOST), milliseconds)

    def woken(self, model: str, version: str, seconds: float) -> None:
        """Count a wait of requests for the first worker of a version, and its seconds."""
        self._modelserver.wakes.update((model, version), seconds)

    def scale_decided(self, model: str, version: str, reason: str) -> None:
        """Count a decision about the number of a version's workers."""
        self._modelserver.decisions.update((model, version, reason), 1)

    def worker_restarted(self, model: str, version: str) -> None:
        """Count a worker that was started again."""
        self._modelserver.restarts.update((model, version), 1)

    def job_retried(self, model: str, version: str) -> None:
        """Count a job that goes to a second worker after its first one died."""
        self._modelserver.retries.update((model, version), 1)

    def handler_metrics(self, model: str, version: str, metrics: Sequence[Mapping[str, object]]) -> None:
        """Keep what a handler emitted through ``context.metrics``."""
        self._handlers.record(metrics)
        self.inputs.model_told()

    def version_gone(self, model: str, version: str) -> None:
        """Forget what was counted for a version once it has been read, or soon if nobody reads."""
        self._departures.add(model, version, self.inputs.now())

    def workflow_gone(self, workflow: str) -> None:
        """Forget what was counted for a workflow once it has been read."""
        self._workflows.gone(workflow)

    def host_sampled(self, values: Iterable[HostValue]) -> None:
        """Set the metrics of the host and its GPUs."""
        for each in values:
            self._host.keep(each, self.inputs.now())
            labels = HOST if each.device is None else (*HOST, str(each.device))
            self._torchserve.update(each.name)(labels, each.value)
            if each.name == "GPUMemoryUsed":
                self._modelserver.gpu_memory.update((str(each.device),), each.value * _MEGABYTE)

    def reported(self, value: Reported) -> None:
        """Keep a value of the operator's own sampler (``system_metrics_cmd``)."""
        self._torchserve.report(value)
        self._host.keep_reported(value, self.inputs.now())
        if value.name == "GPUMemoryUsed" and value.dimensions:
            self._modelserver.gpu_memory.update((value.dimensions[-1],), value.value * _MEGABYTE)

    def memory_sampled(self, sample: Sample) -> None:
        """Keep what workers' process trees have of the memory, and of GPUs', for the next scrape."""
        self._sample = sample

    # Reading.

    def exposed(self) -> Iterator[Exposed]:
        """Return every family that the endpoint shows, as it is now."""
        self._totals.carry_over(self._tallies)
        versions = list(self.inputs.versions())
        workers = [
            (_worker_name(version.spec.name, version.spec.version, worker.id), *HOST)
            for version in versions
            for worker in version.workers
        ]
        self._torchserve.keep(_LOAD_TIME, workers)
        self._forget(self._departures.due(self.inputs.now(), is_read=True))
        self._modelserver.spans.values = {(outcome,): count for outcome, count in self.inputs.spans().items()}
        yield from self._torchserve.exposed(self.settings.hostname)
        yield from self._handlers.exposed(self.settings.hostname)
        yield from self._modelserver.exposed(self._tallies, versions, self._sample)
        yield from self._workflows.exposed()
        yield from self.read_at_scrape().exposed()

    def pieces(self, names: Collection[str] = ()) -> Iterator[bytes]:
        """
        Return the endpoint's text in pieces; the caller may pause between two pieces.

        :param names: the samples that are wanted; empty: all samples.
        """
        return pieces(list(self.exposed()), names)

    def openmetrics(self, names: Collection[str] = ()) -> Iterator[bytes]:
        """Return the same in OpenMetrics, with exemplars."""
        return openmetrics_pieces(list(self.exposed()), self._exemplars, names)

    def scrape(self, names: Collection[str] = ()) -> bytes:
        """Return the endpoint's whole text."""
        return b"".join(self.pieces(names))

    def figures(self) -> Figures:
        """Return what was counted, as plain values; the same numbers as a scrape of this instant has."""
        refusals = self._modelserver.refusals.values.items()
        return Figures(
            versions=of_versions(self._tallies, self._modelserver),
            answers=dict(self._tallies.answers),
            calls=of_calls(self._tallies),
            refusals={(model, cause): int(count) for (model, cause), count in refusals},
            memory=self._sample.memory,
            gpu_memory=self._sample.gpu_memory,
            host=self._host.values(),
            host_at=self._host.at,
            aside=self.read_at_scrape().gpus,
        )

    def registry(self) -> CollectorRegistry:
        """Return the same metrics as a registry of ``prometheus_client``, for other ways to export."""
        # Scrapes do without that library: what does not ask for this does not load it.
        from modelserver.metrics.client_registry import new_registry

        return new_registry(self.exposed)

    def write_lines(self) -> None:
        """Write the metrics that belong into the logs, as of the time since the last call."""
        self._totals.carry_over(self._tallies)
        self._totals.write_lines()
        self._forget(self._departures.due(self.inputs.now(), is_read=False))

    def _forget(self, gone: Collection[tuple[str, str]]) -> None:
        """Drop the series of versions, but for those that are there again."""
        if not gone:
            return
        there = {(each.spec.name, each.spec.version) for each in self.inputs.versions()}
        versions = frozenset(gone) - there
        models = frozenset(name for name, _ in versions) - {name for name, _ in there}
        departed = Departed(models, versions)
        departed.leave(self._tallies)
        for families in (
            self._torchserve.families(),
            self._handlers.families(),
            self._modelserver.families(),
        ):
            for family in families:
                family.forget(departed.has_left(family.declaration.dimensions))
        self._totals.forget(departed)


def _prediction_time(handlers: EmittedMetrics, model_sums: TorchServeMetrics) -> Update:
    """Return what takes a model's prediction time: a series of the endpoint, or a sum for the model's log."""
    exposed = handlers.update(_PREDICTION_TIME)
    if exposed is not None:
        return exposed
    declared = handlers.declared.get(_PREDICTION_TIME)
    model_sums.declare([] if declared is None else [declared])
    return model_sums.update(_PREDICTION_TIME)


def _exposed_in(mode: str) -> Callable[[str], bool]:
    if mode == LEGACY:
        return INFERENCE_METRICS.__contains__
    return lambda name: mode == PROMETHEUS


def _worker_name(model: str, version: str, worker: str) -> str:
    return f"W-{worker}-{model}_{version}"
