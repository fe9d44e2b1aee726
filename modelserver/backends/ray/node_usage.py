"""What a worker uses of its node: its memory, and the load of the GPU that it has there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType

from modelserver.devices import GpuUsage
from modelserver.protocol.documents import mapping, whole

Look = Callable[[], GpuUsage | None]


def gpu_of(environment: Mapping[str, str]) -> Look:
    """
    Return what tells the load of the first GPU that a process with this environment sees.

    The driver's library is loaded here, so that agents of other workers do without it.
    """
    from modelserver.system.gpus import load_library

    return look_at(load_library(), environment)


def look_at(library: ModuleType | None, environment: Mapping[str, str]) -> Look:
    """Return the same by the driver's library; where that fails, what tells nothing: workers start anyway."""
    from modelserver.system.gpus import NvidiaInventory

    if library is None:
        return lambda: None
    try:
        inventory = NvidiaInventory(library, environment)
    except library.NVMLError:  # another GPU of the node may be lost
        return lambda: None
    return lambda: inventory.usage(0)


def to_document(memory: int, pid: int, gpu: GpuUsage | None) -> Mapping[str, object]:
    """Return what an agent tells of the worker with the process id ``pid``."""
    if gpu is None:
        return {"memory": memory}
    told = {
        "utilization": round(gpu.utilization),
        "memory_utilization": round(gpu.memory_utilization),
        "memory_used": gpu.memory_used,
        "memory_total": gpu.memory_total,
    }
    own = gpu.processes.get(pid)
    return {"memory": memory, "gpu": told if own is None else {**told, "own": own}}


def read_usage(document: Mapping[str, object], pid: int | None) -> tuple[int, GpuUsage | None]:
    """
    Return the memory of the worker with the process id ``pid``, and its GPU's load where that is known.

    :raises FrameError: its GPU is no object.
    """
    memory = whole(document, "memory") or 0
    if "gpu" not in document:
        return memory, None
    told = mapping(document, "gpu")
    own = whole(told, "own")
    numbers = ("utilization", "memory_utilization", "memory_used", "memory_total")
    utilization, of_memory, used, total = (whole(told, name) or 0 for name in numbers)
    processes = {} if own is None or pid is None else {pid: own}
    return memory, GpuUsage(float(utilization), float(of_memory), used, total, processes)
