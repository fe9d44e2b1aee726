"""What the core is given."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from modelserver.core.gpus import Devices
from modelserver.core.memory_budget import MemoryBudget
from modelserver.core.workers.processor_use import ProcessorTime
from modelserver.interfaces import Recorder, WorkerBackend
from modelserver.language.attributes import frozen
from modelserver.spec import VersionSpec
from modelserver.traces import Tracer


@frozen
class CoreProviders:
    """
    What every pool of the server is given.

    :param now: seconds since the epoch, for what is shown to people.
    :param next_worker_id: a new id for each call, for a worker of this version.
    :param call_soon: run something once, after the events that are being handled.
    :param processor_time: the seconds that processors have spent on a process, None if it is gone; reading it
        does not block.
    :param random: a number from 0 to 1.
    :param awake_turns: turns that the event loop stays awake for the answer of a very fast worker.
    :param tracer: None: nothing is traced.
    :param memory: None: workers may take what they like.
    """

    backend: WorkerBackend
    devices: Devices
    clock: IReactorTime
    now: Callable[[], float]
    next_worker_id: Callable[[VersionSpec], str]
    call_soon: Callable[[Callable[[], None]], object]
    recorder: Recorder
    processor_time: ProcessorTime = lambda pid: None
    random: Callable[[], float] = lambda: 0.0
    awake_turns: int = 0
    tracer: Tracer | None = None
    memory: MemoryBudget | None = None
