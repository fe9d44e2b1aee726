"""What both dialects show of models and workers: keys of descriptions, most of them this server's own."""

from __future__ import annotations

from modelserver.devices import HOST, GpuMemory
from modelserver.rest.dialects.json_text import milliseconds, seconds, timestamp
from modelserver.spec import ModelSummary, VersionDescription, WorkerDescription, WorkerFailure, WorkerState

_COMING_STATES = frozenset({WorkerState.STARTING, WorkerState.WAITING})


def worker_status(worker: WorkerDescription) -> str:
    """Return the word that TorchServe and MMS have for a worker's state."""
    if worker.is_ready:
        return "READY"
    # The programs say UNLOADING here as well; LOADING is what their OpenAPI documents promise.
    return "LOADING" if worker.state in _COMING_STATES else "UNLOADING"


def process_id(worker: WorkerDescription) -> int:
    """Return a worker's process id, on whatever machine that is; -1 where there is no process."""
    pid = worker.pid if worker.place is None else worker.place.pid
    return -1 if pid is None else pid


def worker_history(worker: WorkerDescription) -> dict[str, object]:
    """Return keys that only this server has: where a worker is, its restarts, and why it failed last."""
    keys: dict[str, object] = {}
    if worker.place is not None:
        place = worker.place
        told = {"node": place.node, "address": place.address, "placementGroup": place.group}
        shown: dict[str, object] = {name: text for name, text in told.items() if text}
        shown["reason"] = place.reason
        if worker.state is WorkerState.SUSPECT:
            shown["suspect"] = True
        keys["placement"] = shown
    if worker.restarts:
        keys["restarts"] = worker.restarts
    if worker.failure is not None:
        keys["lastFailure"] = failure_body(worker.failure)
    return keys


def memory_apart(worker: WorkerDescription) -> dict[str, object]:
    """Return the keys of what a process has for itself and what with others, and of its threads, if known."""
    keys: dict[str, object] = {}
    if worker.private is not None and worker.shared is not None:
        keys = {"memoryPrivate": worker.private, "memoryShared": worker.shared}
    held = worker.gpu_memory or GpuMemory()
    beside = {
        "threads": worker.threads,
        "gpuMemory": held.used,
        "gpuMemoryAllocated": held.allocated,
        "gpuMemoryReserved": held.reserved,
        "gpuMemoryPeak": held.peak,
        "gpuMemoryOther": held.other,
    }
    return keys | {name: value for name, value in beside.items() if value is not None}


def scaling_of(description: VersionDescription) -> dict[str, object]:
    """Return keys that only this server has, and shows where it decides how many workers a version has."""
    scaling = description.scaling
    if scaling is None or not scaling.settings.enabled:
        return {}
    settings = scaling.settings
    keys: dict[str, object] = {
        "autoscaling": {
            "targetQueueTime": milliseconds(settings.queue_time),
            "idleTimeout": seconds(settings.idle_timeout),
            "scaleDownDelay": seconds(settings.down_delay),
            "keepTemplate": settings.keep_template,
            "loadTimeout": seconds(description.spec.timeouts.load),
        },
        "wantedWorkers": scaling.wanted,
    }
    last = scaling.last
    if last is not None:
        at = timestamp(last.at)
        keys["lastDecision"] = {"workers": last.workers, "reason": last.reason, "text": last.text, "at": at}
    return keys


def template_memory(template: WorkerDescription | None) -> dict[str, object]:
    """Return a key that only this server has: the process from which a version's workers are forked."""
    if template is None:
        return {}
    pid = -1 if template.pid is None else template.pid
    status, memory = worker_status(template), template.memory
    return {"template": {"pid": pid, "status": status, "memoryUsage": memory, **memory_apart(template)}}


def list_row(model: ModelSummary) -> dict[str, object]:
    """Return a row of the list of models; for one that comes and goes, where it is, which only we tell."""
    row: dict[str, object] = {"modelName": model.name, "modelUrl": model.url}
    return row if model.presence is None else {**row, "loadState": model.presence.value}


def residence(description: VersionDescription) -> dict[str, object]:
    """Return keys that only this server has: whether a model is in memory, and what it takes there."""
    keys: dict[str, object] = {}
    if description.presence is not None:
        keys["loadState"] = description.presence.value
    gpus = []
    for bank, memory in description.memory.items():
        figures = {
            "expected": memory.expected,
            "expectedFrom": "measurement" if memory.is_seen else "archive size",
            "reserved": memory.reserved,
            "limit": memory.limit,
        }
        if bank is HOST:
            keys["memory"] = figures
        else:
            gpus.append({"gpu": bank, **figures})
    if gpus:
        keys["memoryByGpu"] = gpus
    return keys


def failure_body(failure: WorkerFailure) -> dict[str, object]:
    """Return why a worker ended, as a JSON object without the facts that are not known."""
    keys: dict[str, object] = {
        "type": failure.exception or failure.cause,
        "text": failure.text or str(failure),
    }
    if failure.exit_code is not None:
        keys["exitCode"] = failure.exit_code
    if failure.signal is not None:
        keys["signal"] = failure.signal
    if failure.out_of_memory:
        keys["outOfMemory"] = True
    if failure.traceback:
        keys["traceback"] = list(failure.traceback)
    keys["stderr"] = list(failure.stderr)
    keys["at"] = timestamp(failure.at)
    return keys
