"""What a pool does when a GPU of its workers fails, or was set aside."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve

from modelserver.core.providers import CoreProviders
from modelserver.core.workers.placement import gpus_of, moved
from modelserver.core.workers.worker import READY, Worker
from modelserver.errors import NotEnoughDevices
from modelserver.spec import DEVICE, SET_ASIDE, WorkerFailure, WorkerState


def see_to_devices(worker: Worker, failure: WorkerFailure, providers: CoreProviders) -> None:
    """
    Count what befell the GPUs of a worker whose process is gone, and give it others where they are set aside.

    Where there are no others the worker gives up, and tells why.
    """
    gpus = gpus_of(worker.spec)
    if not gpus or worker.state is not WorkerState.WAITING:
        return
    version = worker.spec.version
    if failure.cause == DEVICE:
        for gpu in gpus:
            providers.devices.quarantine.fault(gpu, f"{version.name} {version.version}", failure.device_code)
    try:
        worker.spec = moved(worker.spec, providers)
    except NotEnoughDevices as obstacle:
        worker.abandon(evolve(failure, text=str(obstacle)))


def leave_device(workers: Sequence[Worker], gpu: int, providers: CoreProviders) -> None:
    """End the workers that are ready on a GPU that was set aside, where others can take them."""
    for worker in list(workers):
        if worker.state is READY and gpu in gpus_of(worker.spec):
            try:
                worker.spec = moved(worker.spec, providers)
            except NotEnoughDevices:
                continue
            worker.kill(SET_ASIDE)
