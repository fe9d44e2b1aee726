"""
One version of a model with its queue and its workers, and the parts that its mode is put together from.

==================  ==============================  ======================================================
mode                queue                           batches in flight
==================  ==============================  ======================================================
batches             ``BatchAggregator``             ``InOrder``
concurrent          ``BatchAggregator``, joining    ``SideBySide``: as many as an event loop takes
continuous          ``BatchAggregator`` of one job  ``SideBySide``: as many as ``batch_size``
stateful            ``SequenceQueue(OneOfEach)``    ``InOrder``
stateful and        ``SequenceQueue(Joining)``      ``SideBySide``: twice ``batch_size``, since as many again
continuous                                          as a batch may be new requests of sequences in hand
==================  ==============================  ======================================================
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from attrs import evolve, field

from modelserver.core.providers import CoreProviders
from modelserver.core.queues.batch_delay import BatchDelay
from modelserver.core.queues.batch_queue import BatchAggregator
from modelserver.core.queues.job_queue import JobQueue
from modelserver.core.queues.sequence_queue import HandOut, Joining, OneOfEach, SequenceQueue
from modelserver.core.scaling import Scaling
from modelserver.core.workers.concurrent import AT_ONCE, SideBySide
from modelserver.core.workers.in_flight import AnswerWatch, MakeInFlight
from modelserver.core.workers.in_order import InOrder
from modelserver.core.workers.pool import WorkerPool
from modelserver.jobs import Job
from modelserver.language.attributes import define
from modelserver.spec import Presence, VersionSpec, WorkerDescription
from modelserver.version_settings.values import WorkerRange


@define(eq=False)
class ModelVersion:
    """
    One version with its queue and its workers.

    :param is_on_request: its model comes into memory when it is asked.
    :param is_known: its archive was looked at, and is not unpacked.
    """

    spec: VersionSpec
    queue: JobQueue
    pool: WorkerPool
    scaling: Scaling
    is_on_request: bool = False
    is_known: bool = False
    _shown: tuple[VersionSpec, VersionSpec] | None = field(default=None, init=False)
    """A specification of ``spec``, and what ``present_spec`` made of it."""

    @property
    def present_spec(self) -> VersionSpec:
        """
        Return the specification with the settings that hold now, rather than those of the registration.

        It is asked every second while somebody watches, of each version, and hardly ever changes.
        """
        spec, workers, autoscaling = self.spec, self.bounds, self.scaling.settings
        if self._shown is not None:
            of, shown = self._shown
            if of is spec and shown.workers == workers and shown.autoscaling == autoscaling:
                return shown
        shown = evolve(spec, workers=workers, autoscaling=autoscaling)
        self._shown = spec, shown
        return shown

    @property
    def bounds(self) -> WorkerRange:
        """Return the least and the most workers: those that were asked for, also where others are decided."""
        if self.scaling.is_on:
            return self.scaling.bounds
        return WorkerRange(self.pool.minimum, self.pool.maximum)

    @property
    def presence(self) -> Presence | None:
        """Where the model is that comes when it is asked; None for one that stays."""
        if not self.is_on_request:
            return None
        if self.pool.ready:
            return Presence.LOADED
        if self.pool.waking.is_under_way or self.pool.healthy:
            return Presence.LOADING
        return Presence.KNOWN if self.is_known else Presence.UNLOADED

    def renew(self, spec: VersionSpec) -> None:
        """
        Start workers by another spec from now on.

        :param spec: says other things only of what workers are started with, not of queue and batches.
        """
        self.spec = self.pool.spec = spec

    def has_room_in(self, name: str) -> bool:
        """Return whether another request of a sequence may wait, as far as that has a limit of its own."""
        return not isinstance(self.queue, SequenceQueue) or self.queue.has_room_in(name)

    def end_sequence(self, name: str) -> None:
        """End a sequence of requests, if the version keeps any."""
        if isinstance(self.queue, SequenceQueue):
            self.queue.end_sequence(name)

    def describe_template(self) -> WorkerDescription | None:
        """Describe the process that the version's workers come from (a template), if there is one."""
        return self.pool.providers.backend.describe(self.spec.name, self.spec.version)


def new_version(spec: VersionSpec, providers: CoreProviders) -> ModelVersion:
    """Make a version with an empty queue and no workers."""
    queue, pool = make_queue_and_pool(spec, providers)
    return ModelVersion(spec, queue, pool, Scaling(spec.autoscaling, spec.workers))


def make_queue_and_pool(spec: VersionSpec, providers: CoreProviders) -> tuple[JobQueue, WorkerPool]:
    """Make the empty queue of a version and the pool that empties it."""

    # Queue, pool and workers ask each other: what is asked later is bound by these two.
    def due() -> None:
        pool.schedule()

    def has_many_waiting() -> bool:
        return pool.has_many_waiting

    def put_back(jobs: list[Job]) -> None:
        pool.put_back(jobs)

    queue, watch = _queue(spec, providers, due)
    pool = WorkerPool(spec, queue, providers, _in_flight(spec, watch, has_many_waiting, put_back))
    return queue, pool


def _queue(
    spec: VersionSpec, providers: CoreProviders, due: Callable[[], None]
) -> tuple[JobQueue, AnswerWatch | None]:
    """Make a version's queue; also what has to see the answers of its workers, if anything has."""
    if spec.sequences.enabled:
        queue = SequenceQueue(
            model=spec.name,
            version=spec.version,
            clock=providers.clock,
            hand_out=_hand_out(spec, providers, due),
            rules=spec.sequences,
            share=max(1, spec.sequences.max_sequences // max(1, spec.workers.minimum)),
        )
        return queue, queue.answers_came
    aggregator = BatchAggregator(
        model=spec.name,
        version=spec.version,
        # Where batches are continuous, a job joins the others by itself, and as soon as there is room.
        batch_size=1 if spec.mode == "continuous" else spec.batching.size,
        max_batch_delay=spec.batching.max_delay,
        limits=spec.queue,
        clock=providers.clock,
        due=due,
        joins=spec.mode == "concurrent",
    )
    return aggregator, None


def _hand_out(spec: VersionSpec, providers: CoreProviders, due: Callable[[], None]) -> HandOut:
    if spec.mode == "continuous":
        return Joining()
    # Where the server is to choose: requests of a sequence come one by one, there is none to wait for.
    delay = max(0.0, spec.batching.max_delay)
    return OneOfEach(spec.batching.size, BatchDelay(providers.clock, delay, due))


def _in_flight(
    spec: VersionSpec,
    watch: AnswerWatch | None,
    has_many_waiting: Callable[[], bool],
    put_back: Callable[[list[Job]], None],
) -> MakeInFlight:
    if spec.mode == "batches":
        return partial(InOrder, has_many_waiting=has_many_waiting, put_back=put_back, watch=watch)
    if spec.mode == "concurrent":
        return partial(SideBySide, capacity=AT_ONCE, watch=watch)
    return partial(
        SideBySide, capacity=spec.batching.size * (2 if spec.sequences.enabled else 1), watch=watch
    )
