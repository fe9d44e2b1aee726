"""Which devices a worker of a version gets, and that they come back."""

from __future__ import annotations

from modelserver.core.providers import CoreProviders
from modelserver.errors import NotEnoughDevices
from modelserver.spec import VersionSpec, WorkerSpec


def place_worker(spec: VersionSpec, providers: CoreProviders, is_cpu: bool) -> WorkerSpec:
    """
    Give one more worker of a version its id, its devices, and its part of the memory.

    :param is_cpu: the worker gets no GPU, unless it spans several.
    :raises NotEnoughDevices: the worker needs more GPUs than there are.
    """
    worker = _place(spec, providers, is_cpu)
    if providers.memory is not None and not spec.placement.is_elsewhere:
        providers.memory.placed(worker)
    return worker


def _place(spec: VersionSpec, providers: CoreProviders, is_cpu: bool) -> WorkerSpec:
    worker_id, devices = providers.next_worker_id(spec), providers.devices
    if spec.placement.is_elsewhere:
        # The cluster shows it the devices that it may use, counted from 0.
        return WorkerSpec(spec, worker_id, 0 if spec.placement.amounts.get("GPU", 0) else None)
    if spec.devices.parallel_level > 0 and spec.devices.type != "cpu" and devices.count:
        group = devices.take_group(spec.devices.parallel_level, spec.devices.ids)
        if group is None:
            raise NotEnoughDevices(spec.name, spec.devices.parallel_level)
        return WorkerSpec(spec, worker_id, 0, group)
    if spec.devices.type == "cpu" or is_cpu:
        return WorkerSpec(spec, worker_id)
    return WorkerSpec(spec, worker_id, devices.take(spec.devices.ids))


def give_place_back(spec: WorkerSpec, providers: CoreProviders) -> None:
    """Let other workers have the devices, and the memory, of one that is gone."""
    if spec.version.placement.is_elsewhere:
        return
    for gpu in (spec.gpu_id,) if spec.visible_devices is None else spec.visible_devices:
        providers.devices.give_back(gpu)
    if providers.memory is not None:
        providers.memory.left(spec)
