"""Makes what bounds the memory of all workers together, where something is to."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.logger import Logger

from modelserver.config.settings import Settings
from modelserver.core.gpus import Devices
from modelserver.core.registry import Registry
from modelserver.core.workers.placement import groups_for
from modelserver.devices import HOST, Bank
from modelserver.interfaces import Inventory
from modelserver.management.loading import LoadOnRequest
from modelserver.management.memory.accounts import key_of
from modelserver.management.memory.budget import WorkerMemory
from modelserver.management.memory.watch import MemoryWatch
from modelserver.metrics.memory_metrics import Residents
from modelserver.metrics.process_memory import tree_shares
from modelserver.server.resources import Runtime
from modelserver.system.memory_total import MemoryAmount, MemoryUnreadable, memory_total

_log = Logger()


def make_memory(
    settings: Settings,
    registry: Registry,
    devices: Devices,
    inventory: Inventory,
    seconds: Callable[[], float],
    total: Callable[[], int] = memory_total,
) -> WorkerMemory | None:
    """
    Return the budget of all workers, or None where there is no limit, or it cannot be told.

    :param inventory: tells how much memory a GPU has; it is asked only where that is to be bounded.
    :param total: the memory that there is.
    """
    limits: dict[Bank, int] = {}
    try:
        limits[HOST] = settings.memory_limit.bytes_of(total)
    except MemoryUnreadable as error:
        _log.warn(
            "model_memory_limit is off, for there is no telling this machine's memory: {why}", why=str(error)
        )
    for gpu in range(devices.count if settings.gpu_memory_limit is not None else 0):
        limits[gpu] = _limit_of(settings.gpu_memory_limit or MemoryAmount(), gpu, inventory)
    limits = {bank: limit for bank, limit in limits.items() if limit}
    if not limits:
        return None
    return WorkerMemory(limits, registry.all, seconds, groups=lambda spec: groups_for(spec, devices))


def _limit_of(amount: MemoryAmount, gpu: int, inventory: Inventory) -> int:
    def total() -> int:
        usage = inventory.usage(gpu)
        if usage is None or not usage.memory_total:
            raise MemoryUnreadable("the driver does not tell it")
        return usage.memory_total

    try:
        return amount.bytes_of(total)
    except MemoryUnreadable as error:
        _log.warn(
            "gpu_memory_limit is off on GPU {gpu}, for there is no telling its memory: {why}",
            gpu=gpu,
            why=str(error),
        )
        return 0


def _on_gpus(gpus: Iterable[int], inventory: Inventory) -> dict[int, int]:
    """Return the bytes of all these GPUs that each process has, as the driver tells."""
    found: dict[int, int] = {}
    for gpu in gpus:
        usage = inventory.usage(gpu)
        for pid, size in () if usage is None else usage.processes.items():
            found[pid] = found.get(pid, 0) + size
    return found


def residents(memory: WorkerMemory | None, loading: LoadOnRequest) -> Residents:
    """Count, for metrics, what has become of models that come and go."""
    served = {key_of(version.spec) for version in loading.management.registry.all()}
    loads = {key: count for key, count in loading.outcomes.items() if key[:2] in served}
    if memory is None or not memory.is_on:
        return Residents(loads=loads)
    evictions = {key: count for key, count in memory.evictions.items() if key in served}
    reserved = {bank: memory.accounts.reserved_on(bank) for bank in memory.limits}
    return Residents(dict(memory.limits), reserved, evictions, loads)


def watch_memory(memory: WorkerMemory | None, loading: LoadOnRequest, runtime: Runtime) -> MemoryWatch | None:
    """Let versions leave that a budget wants to, and return what measures their workers for it."""
    if memory is None:
        return None
    memory.evict = loading.evict
    versions = loading.management.registry.all
    gpus, inventory = memory.room.gpus, runtime.inventory
    return MemoryWatch(
        memory,
        versions,
        tree_shares,
        runtime.threads.samples,
        runtime.reactor,
        on_gpus=lambda: _on_gpus(gpus, inventory),
    )
