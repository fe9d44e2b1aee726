"""What was counted, as plain values of one instant: for whoever shows it without Prometheus' text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import field

from modelserver.language.attributes import frozen
from modelserver.metrics.host_sampler import HostValue
from modelserver.metrics.modelserver_metrics import ModelServerMetrics
from modelserver.metrics.tallies import SECONDS, SIZES, BatchTally, RequestTallies

Counts = tuple[int, ...]
"""How many values each bucket of a histogram got; the last one those above every bound."""
VersionKey = tuple[str, str]
"""A model and its version."""
NO_SECONDS: Counts = (0,) * (len(SECONDS) + 1)
NO_SIZES: Counts = (0,) * (len(SIZES) + 1)


@frozen
class VersionFigures:
    """
    What was counted for a version since it was registered.

    :param requests: finished requests, by the seconds from their arrival to their answer (``SECONDS``).
    :param seconds: these seconds, of all requests together.
    :param queued: the seconds of them that they waited for a worker.
    :param batches: finished batches, by the number of their requests (``SIZES``).
    :param batched: requests in all batches.
    :param restarts: workers that were started again.
    :param retries: requests that went to a second worker.
    :param handled: calls of the handler and their seconds, by the size of their batches.
    :param squares: the sum of the squares of the seconds of each call.
    """

    requests: Counts = NO_SECONDS
    seconds: float = 0.0
    queued: float = 0.0
    batches: Counts = NO_SIZES
    batched: float = 0.0
    restarts: int = 0
    retries: int = 0
    handled: Mapping[int, tuple[int, float]] = field(factory=dict)
    squares: float = 0.0


NOTHING = VersionFigures()


@frozen
class Figures:
    """
    Everything that was counted, at one instant.

    :param versions: by model and version; those of which nothing was counted are missing.
    :param answers: HTTP answers by status code.
    :param calls: gRPC calls by the name of their code.
    :param refusals: refused requests by model and cause; those of no model have an empty name.
    :param memory: resident bytes of workers' process trees, by process id.
    :param gpu_memory: bytes of GPUs by process id, where the driver tells.
    :param host: the last sample of the machine.
    :param host_at: when that was, in seconds since the epoch; 0: there is none.
    :param aside: why each GPU is set aside; None: it is not.
    """

    versions: Mapping[VersionKey, VersionFigures] = field(factory=dict)
    answers: Mapping[int, int] = field(factory=dict)
    calls: Mapping[str, int] = field(factory=dict)
    refusals: Mapping[tuple[str, str], int] = field(factory=dict)
    memory: Mapping[int, int] = field(factory=dict)
    gpu_memory: Mapping[int, int] = field(factory=dict)
    host: Sequence[HostValue] = ()
    host_at: float = 0.0
    aside: Mapping[int, str | None] = field(factory=dict)


def of_versions(tallies: RequestTallies, counted: ModelServerMetrics) -> Mapping[VersionKey, VersionFigures]:
    """Return what was counted for each version, however its clients named it."""
    jobs: dict[VersionKey, tuple[Counts, float, float]] = {}
    for job in tallies.jobs.values():
        counts, total, queued = jobs.get((job.model, job.version), (NO_SECONDS, 0.0, 0.0))
        jobs[job.model, job.version] = (
            added(counts, job.total.counts),
            total + job.total.total,
            queued + job.queue.total,
        )
    sizes = {key: (tuple(each.size.counts), each.size.total) for key, each in tallies.batches.items()}
    restarts, retries = _by_version(counted.restarts.values), _by_version(counted.retries.values)
    found = {}
    for key in {*jobs, *sizes, *restarts, *retries}:
        requests, seconds, queued = jobs.get(key, (NO_SECONDS, 0.0, 0.0))
        batches, batched = sizes.get(key, (NO_SIZES, 0.0))
        found[key] = VersionFigures(
            requests=requests,
            seconds=seconds,
            queued=queued,
            batches=batches,
            batched=batched,
            handled=handled(tallies.batches[key]) if key in tallies.batches else {},
            squares=tallies.batches[key].squares if key in tallies.batches else 0.0,
            restarts=restarts.get(key, 0),
            retries=retries.get(key, 0),
        )
    return found


def handled(tally: BatchTally) -> Mapping[int, tuple[int, float]]:
    """Return the calls of a handler and their seconds, by the size of their batches."""
    found = {size: (int(calls), seconds) for size, (calls, seconds) in sorted(tally.larger.items())}
    alone = sum(tally.handler.counts) - sum(calls for calls, _ in found.values())
    if alone > 0:
        seconds = tally.handler.total - sum(seconds for _, seconds in found.values())
        found = {1: (alone, max(0.0, seconds)), **found}
    return found


def _by_version(values: Mapping[tuple[str, ...], float]) -> dict[VersionKey, int]:
    return {(model, version): int(value) for (model, version), value in values.items()}


def of_calls(tallies: RequestTallies) -> Mapping[str, int]:
    """Return the gRPC calls by the name of their code."""
    calls: dict[str, int] = {}
    for tally in tallies.calls.values():
        for code, count in tally.codes.items():
            calls[code] = calls.get(code, 0) + count
    return calls


def added(one: Iterable[int], other: Iterable[int]) -> Counts:
    """Return the sums of buckets with the same bounds."""
    return tuple(mine + theirs for mine, theirs in zip(one, other, strict=True))
