"""Which devices a worker of a version gets, and that they come back."""

from __future__ import annotations

from attrs import evolve

from modelserver.core.gpus import ANY, Devices
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
    worker = WorkerSpec(spec, providers.next_worker_id(spec))
    if spec.placement.is_elsewhere:
        # The cluster shows it the devices that it may use, counted from 0.
        return evolve(worker, gpu_id=0 if spec.placement.amounts.get("GPU", 0) else None)
    return _with_devices(worker, providers, is_cpu)


def _with_devices(worker: WorkerSpec, providers: CoreProviders, is_cpu: bool) -> WorkerSpec:
    spec, devices = worker.version, providers.devices
    free = ANY if providers.memory is None else providers.memory.free_on_gpus()
    if spec.devices.parallel_level > 0 and spec.devices.type != "cpu" and devices.count:
        group = devices.take_group(spec.devices.parallel_level, spec.devices.ids, free)
        if group is None:
            obstacle = devices.obstacle(spec.devices.ids)
            raise NotEnoughDevices(spec.name, spec.devices.parallel_level, obstacle)
        return evolve(worker, gpu_id=0, visible_devices=group)
    if spec.devices.type == "cpu" or is_cpu:
        return worker
    gpu = devices.take(spec.devices.ids, free)
    if gpu is None and devices.count:
        raise NotEnoughDevices(spec.name, 0, devices.obstacle(spec.devices.ids))
    if gpu in devices.parts:
        return evolve(worker, gpu_id=0, visible_devices=(gpu,))
    return evolve(worker, gpu_id=gpu)


def groups_for(spec: VersionSpec, devices: Devices) -> list[tuple[int, ...]]:
    """Return the GPUs that one worker of a version may be given, so many each; none: it gets none."""
    if spec.devices.type == "cpu" or spec.placement.is_elsewhere:
        return []
    return devices.candidates(max(1, spec.devices.parallel_level), spec.devices.ids)


def gpus_of(spec: WorkerSpec) -> tuple[int, ...]:
    """Return the GPUs of this machine that a worker has, by the numbers of the server."""
    if spec.version.placement.is_elsewhere:
        return ()
    if spec.visible_devices is not None:
        return spec.visible_devices
    return () if spec.gpu_id is None else (spec.gpu_id,)


def moved(spec: WorkerSpec, providers: CoreProviders) -> WorkerSpec:
    """
    Return a worker whose process is gone with other devices, if one of its own is set aside; else as it is.

    :raises NotEnoughDevices: there are no others; it keeps its own.
    """
    devices, own = providers.devices, gpus_of(spec)
    if all(devices.quarantine.reason(gpu) is None for gpu in own):
        return spec
    found = _with_devices(evolve(spec, gpu_id=None, visible_devices=None), providers, is_cpu=False)
    for gpu in own:
        devices.give_back(gpu)
    if providers.memory is not None:
        providers.memory.moved(spec, found)
    return found


def give_place_back(spec: WorkerSpec, providers: CoreProviders) -> None:
    """Let other workers have the devices, and the memory, of one that is gone."""
    for gpu in gpus_of(spec):
        providers.devices.give_back(gpu)
    if providers.memory is not None and not spec.version.placement.is_elsewhere:
        providers.memory.left(spec)
