"""Describes a version and its workers at this moment."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from attrs import evolve, field

from modelserver.core.version import ModelVersion
from modelserver.devices import GpuMemory, GpuUsage
from modelserver.interfaces import InThread, Inventory
from modelserver.language.attributes import frozen
from modelserver.spec import (
    ProcessMemory,
    ScalingDescription,
    VersionDescription,
    WorkerDescription,
)

_MEBIBYTE = 1 << 20
NO_MEMORY = ProcessMemory(0)


@frozen
class Facts:
    """
    What processes and GPUs show of workers.

    :param memory: the memory of process trees, by the process id of their root.
    :param gpus: the load of GPUs, by their ids.
    """

    memory: Mapping[int, ProcessMemory] = field(factory=dict)
    gpus: Mapping[int, GpuUsage] = field(factory=dict)


NO_FACTS = Facts()


@frozen
class Observer:
    """
    Reads the memory of processes and the load of GPUs.

    :param memories: the memory of process trees; blocks.
    """

    memories: Callable[[Iterable[int]], Mapping[int, ProcessMemory]]
    inventory: Inventory
    in_thread: InThread

    async def look(self, versions: Iterable[ModelVersion]) -> Facts:
        """Return the memory and load of these versions' workers and templates."""
        found = list(versions)
        workers = [worker for version in found for worker in version.pool.describe()]
        templates = [version.describe_template() for version in found]
        workers += [template for template in templates if template is not None]
        pids = [worker.pid for worker in workers if worker.pid is not None]
        gpus = {each.gpu_id for each in workers if each.gpu_id is not None and each.place is None}
        return await self.in_thread(self._look, pids, gpus) if workers else Facts()

    def _look(self, pids: Collection[int], gpus: Collection[int]) -> Facts:
        loads = {gpu: load for gpu in gpus if (load := self.inventory.usage(gpu)) is not None}
        return Facts(self.memories(pids) if pids else {}, loads)


def describe_version(
    version: ModelVersion, is_default: bool, facts: Facts | None = None
) -> VersionDescription:
    """
    Describe a version; its settings are those that hold now, not those of the registration.

    :param facts: memory and load, or None where nobody has read them.
    """
    pool, known = version.pool, facts or NO_FACTS
    template = version.describe_template()
    return VersionDescription(
        spec=version.present_spec,
        is_default=is_default,
        workers=tuple(_complete(worker, known) for worker in pool.describe()),
        waiting=version.queue.waiting + pool.jobs_ahead,
        waiting_bytes=version.queue.size + sum(worker.in_flight.bytes_ahead for worker in pool.workers),
        batch_delay=version.queue.present_delay,
        in_flight=pool.jobs_in_hand - pool.jobs_ahead,
        template=None if template is None else _complete(template, known),
        scaling=_scaling(version),
        presence=version.presence,
        registered=version.spec.workers,
    )


def _scaling(version: ModelVersion) -> ScalingDescription | None:
    scaling = version.scaling
    if not scaling.was_on:
        return None
    return ScalingDescription(scaling.settings, version.pool.minimum, scaling.last)


def _complete(worker: WorkerDescription, facts: Facts) -> WorkerDescription:
    if (place := worker.place) is not None:  # what its node tells is all there is
        usage = None if worker.gpu_id is None else _usage(worker.gpu_id, place.gpu)
        return evolve(worker, gpu_usage=usage, gpu_memory=_gpu_memory(worker, place.gpu, place.pid))
    if not (facts.memory or facts.gpus):
        return worker  # nothing is known beside what it tells
    memory = NO_MEMORY if worker.pid is None else facts.memory.get(worker.pid, NO_MEMORY)
    load = None if worker.gpu_id is None else facts.gpus.get(worker.gpu_id)
    return evolve(
        worker,
        memory=memory.resident,
        private=memory.private,
        shared=memory.shared,
        gpu_usage=None if worker.gpu_id is None else _usage(worker.gpu_id, load),
        gpu_memory=_gpu_memory(worker, load, worker.pid),
    )


def _gpu_memory(worker: WorkerDescription, load: GpuUsage | None, pid: int | None) -> GpuMemory | None:
    """What the worker itself has told, and the driver's number, where that knows the process by its id."""
    own = worker.gpu_memory
    driver = None if load is None or pid is None else load.processes.get(pid)
    return own if driver is None else evolve(own or GpuMemory(), driver=driver)


def _usage(gpu_id: int, load: GpuUsage | None) -> str | None:
    """Render a GPU's load in the form that TorchServe and Multi Model Server show."""
    if load is None:
        return None
    return (
        f"gpuId::{gpu_id} utilization.gpu::{load.utilization:g} % "
        f"utilization.memory::{load.memory_utilization:g} % "
        f"memory.used::{load.memory_used // _MEBIBYTE} MiB"
    )
