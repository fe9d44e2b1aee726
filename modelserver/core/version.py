"""Which queue, pool and workers a version gets: batches, sequences, continuous batching, an event loop."""

from __future__ import annotations

from functools import partial

from twisted.internet.interfaces import IReactorTime

from modelserver.core.providers import CoreProviders
from modelserver.core.queues.batch_queue import BatchAggregator
from modelserver.core.workers.concurrent import AT_ONCE, ConcurrentQueue, ConcurrentWorker
from modelserver.core.workers.continuous_sequences import (
    LiveSequencePool,
    LiveSequenceQueue,
    LiveSequenceWorker,
)
from modelserver.core.workers.pool import WorkerPool
from modelserver.core.workers.sequences import SequencePool, SequenceQueue, SequenceWorker
from modelserver.spec import VersionSpec
from modelserver.version_settings.values import QueueLimits

QueueAndPool = tuple[BatchAggregator, WorkerPool]


def make_queue_and_pool(spec: VersionSpec, providers: CoreProviders) -> QueueAndPool:
    """The empty queue of a version and the pool that empties it."""
    if spec.sequences.enabled:
        return _sequences(spec, providers)
    if spec.mode == "batches":
        queue = BatchAggregator(*_common(spec, providers, spec.batching.size))
        return queue, WorkerPool(spec, queue, providers)
    if spec.mode == "continuous":
        # A job joins the others by itself, and as soon as there is room.
        queue, capacity = BatchAggregator(*_common(spec, providers, 1)), spec.batching.size
    else:
        queue, capacity = ConcurrentQueue(*_common(spec, providers, spec.batching.size)), AT_ONCE
    return queue, WorkerPool(spec, queue, providers, make_worker=partial(ConcurrentWorker, capacity=capacity))


def _common(
    spec: VersionSpec, providers: CoreProviders, batch_size: int
) -> tuple[str, str, int, float, QueueLimits, IReactorTime]:
    return spec.name, spec.version, batch_size, spec.batching.max_delay, spec.queue, providers.clock


def _sequences(spec: VersionSpec, providers: CoreProviders) -> QueueAndPool:
    common = _common(spec, providers, spec.batching.size)
    share = max(1, spec.sequences.max_sequences // max(1, spec.workers.minimum))
    if spec.mode != "continuous":
        queue = SequenceQueue(*common, rules=spec.sequences, share=share)
        make = partial(SequenceWorker, sequences=queue)
        return queue, SequencePool(spec, queue, providers, sequences=queue, make_worker=make)
    live = LiveSequenceQueue(*common, rules=spec.sequences, share=share)
    # As many again as a batch may be new requests of sequences that are being answered.
    join = partial(LiveSequenceWorker, sequences=live, capacity=2 * spec.batching.size)
    return live, LiveSequencePool(spec, live, providers, sequences=live, make_worker=join)
