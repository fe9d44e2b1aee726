"""The metrics that only modelserver has, beside those of TorchServe: histograms, and gauges of a scrape."""

from __future__ import annotations

from collections import Counter as Multiset
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from attrs import field

from modelserver.devices import GpuMemory
from modelserver.language.attributes import define
from modelserver.metrics.declarations import COUNTER, GAUGE, HISTOGRAM, Declaration
from modelserver.metrics.exposition import Exposed
from modelserver.metrics.host_sampler import Sample
from modelserver.metrics.series import Counter, Family, Gauge, Histogram
from modelserver.metrics.tallies import SECONDS, SIZES, RequestTallies
from modelserver.spec import VersionDescription

_VERSION = ("model", "version")


def _histogram(name: str, bounds: Sequence[float], dimensions: tuple[str, ...] = _VERSION) -> Histogram:
    return Histogram(Declaration(f"modelserver_{name}", HISTOGRAM, "", dimensions), bounds)


def _counter(name: str, *dimensions: str) -> Counter:
    return Counter(Declaration(f"modelserver_{name}_total", COUNTER, "", dimensions))


def _gauge(name: str, *dimensions: str) -> Gauge:
    return Gauge(Declaration(f"modelserver_{name}", GAUGE, "", dimensions))


_HELP = {
    "modelserver_queue_seconds": "Seconds that a request waited for a worker.",
    "modelserver_batch_wait_seconds": "Seconds that a worker had a batch outside the handler: behind the "
    "batch before it, and on the way.",
    "modelserver_handler_seconds": "Seconds that the handler took for a batch.",
    "modelserver_request_seconds": "Seconds from a request's arrival to its answer.",
    "modelserver_batch_size": "Requests in a batch.",
    "modelserver_http_responses_total": "HTTP answers by status code.",
    "modelserver_grpc_calls_total": "gRPC calls by method and code; unknown methods have an empty name.",
    "modelserver_grpc_call_seconds": "Seconds from a gRPC call's arrival to its end.",
    "modelserver_grpc_received_bytes_total": "Bytes of messages that gRPC clients sent, as they came.",
    "modelserver_grpc_sent_bytes_total": "Bytes of messages that were sent to gRPC clients.",
    "modelserver_worker_restarts_total": "Workers that were started again.",
    "modelserver_job_retries_total": "Requests that went to a second worker after their first one died.",
    "modelserver_refusals_total": "Requests that were refused, by cause.",
    "modelserver_trace_spans_total": "Spans by what became of them: sent, failed (refused by the collector), "
    "dropped (there was no room).",
    "modelserver_queue_depth": "Requests that wait for a worker.",
    "modelserver_queue_bytes": "Bytes of the bodies of requests that wait for a worker.",
    "modelserver_in_flight_requests": "Requests that workers have in hand.",
    "modelserver_workers": "Workers by state.",
    "modelserver_wanted_workers": "Workers that there are to be; with autoscale, as the server has decided.",
    "modelserver_scale_decisions_total": "Changes of the number of workers that autoscale has decided, by "
    "reason.",
    "modelserver_cold_start_seconds": "Seconds from the request that found no worker to the first one ready.",
    "modelserver_worker_memory_bytes": "Resident bytes of a worker's whole process tree.",
    "modelserver_template_memory_bytes": "Resident bytes of the template process of a version.",
    "modelserver_worker_gpu_memory_bytes": "Bytes of GPUs that a worker has: allocated by tensors, "
    "reserved by torch, the peak of allocated, and all by the driver's word.",
    "modelserver_gpu_memory_bytes": "Bytes of a GPU's memory that are in use.",
}


@define(eq=False)
class ModelServerMetrics:
    """The families ``modelserver_...``, each named by Prometheus' conventions."""

    restarts: Counter = field(factory=lambda: _counter("worker_restarts", *_VERSION), init=False)
    retries: Counter = field(factory=lambda: _counter("job_retries", *_VERSION), init=False)
    decisions: Counter = field(factory=lambda: _counter("scale_decisions", *_VERSION, "reason"), init=False)
    wakes: Histogram = field(factory=lambda: _histogram("cold_start_seconds", SECONDS), init=False)
    refusals: Counter = field(factory=lambda: _counter("refusals", "model", "cause"), init=False)
    spans: Counter = field(factory=lambda: _counter("trace_spans", "outcome"), init=False)
    gpu_memory: Gauge = field(factory=lambda: _gauge("gpu_memory_bytes", "gpu"), init=False)

    def families(self) -> Iterable[Family]:
        """Return the families that are kept from one scrape to the next, and are not of the host."""
        return self.restarts, self.retries, self.refusals, self.decisions, self.wakes

    def exposed(
        self, tallies: RequestTallies, versions: Collection[VersionDescription], sample: Sample
    ) -> Iterator[Exposed]:
        """
        Return every family as it is now.

        :param sample: the memory of processes, for workers whose description has none.
        """
        for family in (
            *_of_tallies(tallies),
            *_of_calls(tallies),
            self.restarts,
            self.retries,
            self.refusals,
            self.decisions,
            self.wakes,
            self.spans,
            self.gpu_memory,
            *_of_versions(versions, sample.memory),
            _on_gpus(versions, sample.gpu_memory),
        ):
            yield Exposed(family, _HELP[family.declaration.name])


def _of_tallies(tallies: RequestTallies) -> Iterable[Family]:
    responses = _counter("http_responses", "code")
    for code, count in sorted(tallies.answers.items()):
        responses.update((str(code),), count)
    queue, request = _histogram("queue_seconds", SECONDS), _histogram("request_seconds", SECONDS)
    for job in tallies.jobs.values():
        queue.add((job.model, job.version), job.queue)
        request.add((job.model, job.version), job.total)
    size, handler = _histogram("batch_size", SIZES), _histogram("handler_seconds", SECONDS)
    batch_wait = _histogram("batch_wait_seconds", SECONDS)
    for batch in tallies.batches.values():
        size.add((batch.model, batch.version), batch.size)
        handler.add((batch.model, batch.version), batch.handler)
        batch_wait.add((batch.model, batch.version), batch.outside)
    return responses, queue, request, size, handler, batch_wait


def _of_calls(tallies: RequestTallies) -> Iterable[Family]:
    calls, seconds = (
        _counter("grpc_calls", "method", "code"),
        _histogram("grpc_call_seconds", SECONDS, ("method",)),
    )
    received, sent = _counter("grpc_received_bytes", "method"), _counter("grpc_sent_bytes", "method")
    for tally in tallies.calls.values():
        for code, count in sorted(tally.codes.items()):
            calls.update((tally.method, code), count)
        seconds.add((tally.method,), tally.seconds)
        received.update((tally.method,), tally.received)
        sent.update((tally.method,), tally.sent)
    return calls, seconds, received, sent


def _of_versions(versions: Iterable[VersionDescription], memory: Mapping[int, int]) -> Iterable[Family]:
    depth = _gauge("queue_depth", *_VERSION)
    waiting_bytes = _gauge("queue_bytes", *_VERSION)
    in_flight = _gauge("in_flight_requests", *_VERSION)
    workers = _gauge("workers", *_VERSION, "state")
    wanted = _gauge("wanted_workers", *_VERSION)
    worker_memory = _gauge("worker_memory_bytes", *_VERSION, "worker")
    template_memory = _gauge("template_memory_bytes", *_VERSION)
    for described in versions:
        labels = (described.spec.name, described.spec.version)
        depth.update(labels, described.waiting)
        waiting_bytes.update(labels, described.waiting_bytes)
        in_flight.update(labels, described.in_flight)
        wanted.update(labels, described.wanted_workers)
        for state, count in Multiset(worker.state.value for worker in described.workers).items():
            workers.update((*labels, state), count)
        for worker in described.workers:
            worker_memory.update((*labels, worker.id), worker.memory or memory.get(worker.pid or 0, 0))
        if described.template is not None:
            template_memory.update(
                labels, described.template.memory or memory.get(described.template.pid or 0, 0)
            )
    return depth, waiting_bytes, in_flight, workers, wanted, worker_memory, template_memory


def _on_gpus(versions: Iterable[VersionDescription], driver: Mapping[int, int]) -> Family:
    """What workers have told themselves, and what the driver tells of their processes."""
    found = _gauge("worker_gpu_memory_bytes", *_VERSION, "worker", "kind")
    for described in versions:
        for worker in described.workers:
            held = worker.gpu_memory or GpuMemory()
            told = held.driver if worker.pid is None else driver.get(worker.pid, held.driver)
            kinds = {
                "allocated": held.allocated,
                "reserved": held.reserved,
                "peak": held.peak,
                "driver": told,
            }
            for kind, size in kinds.items():
                if size is not None:
                    found.update((described.spec.name, described.spec.version, worker.id, kind), size)
    return found
