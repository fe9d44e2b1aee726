"""Makes what bounds the memory of all workers together, where something is to."""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

from modelserver.config.settings import Settings
from modelserver.core.registry import Registry
from modelserver.management.loading import LoadOnRequest
from modelserver.management.memory.accounts import key_of
from modelserver.management.memory.budget import WorkerMemory
from modelserver.management.memory.watch import MemoryWatch
from modelserver.metrics.memory_metrics import Residents
from modelserver.metrics.process_memory import tree_shares
from modelserver.server.resources import Runtime
from modelserver.system.memory_total import MemoryUnreadable, memory_total

_log = Logger()


def make_memory(
    settings: Settings,
    registry: Registry,
    seconds: Callable[[], float],
    total: Callable[[], int] = memory_total,
) -> WorkerMemory | None:
    """
    Return the budget of all workers, or None where there is no limit, or it cannot be told.

    :param total: the memory that there is.
    """
    try:
        limit = settings.memory_limit.bytes_of(total)
    except MemoryUnreadable as error:
        _log.warn(
            "model_memory_limit is off, for there is no telling this machine's memory: {why}", why=str(error)
        )
        return None
    return WorkerMemory(limit, registry.all, seconds) if limit else None


def residents(memory: WorkerMemory | None, loading: LoadOnRequest) -> Residents:
    """Count, for metrics, what has become of models that come and go."""
    served = {key_of(version.spec) for version in loading.management.registry.all()}
    loads = {key: count for key, count in loading.outcomes.items() if key[:2] in served}
    if memory is None or not memory.is_on:
        return Residents(loads=loads)
    evictions = {key: count for key, count in memory.evictions.items() if key in served}
    return Residents(memory.limit, memory.accounts.reserved, evictions, loads)


def watch_memory(memory: WorkerMemory | None, loading: LoadOnRequest, runtime: Runtime) -> MemoryWatch | None:
    """Let versions leave that a budget wants to, and return what measures their workers for it."""
    if memory is None:
        return None
    memory.evict = loading.evict
    versions = loading.management.registry.all
    return MemoryWatch(memory, versions, tree_shares, runtime.threads.samples, runtime.reactor)
