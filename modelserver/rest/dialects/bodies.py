"""What both dialects share: JSON as the peers print it, times, and how an error becomes a reply."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from math import ceil
from typing import Any

from modelserver.core.shortage import MemoryShort
from modelserver.devices import HOST, GpuMemory
from modelserver.errors import (
    DeadlinePassed,
    DependenciesFailed,
    DownloadFailed,
    NoWorkers,
    PredictionFailed,
    QueueFull,
    ServingError,
    WorkerDied,
    WorkersFailed,
)
from modelserver.execution.outcomes import outcome_of
from modelserver.interfaces import Reply
from modelserver.language.attributes import frozen
from modelserver.spec import ModelSummary, VersionDescription, WorkerDescription, WorkerFailure, WorkerState
from modelserver.workflows.errors import NodeFailed, WorkflowFailed

JSON_TYPE = (b"content-type", b"application/json")
_COMING_STATES = frozenset({WorkerState.STARTING, WorkerState.WAITING})
_encode = json.JSONEncoder(ensure_ascii=False).encode
# What Gson escapes by default; none of these occurs in JSON outside a string.
_HTML_ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>&='"}


@frozen
class Refusal:
    """
    What a dialect says for one class of error.

    :param code: the HTTP status, or a function that finds it in the error.
    :param type: the name of the peer's exception class.
    :param message: makes the sentence; ``str`` where the error's own sentence is the peer's.
    """

    code: int | Callable[[Any], int]
    type: str
    message: Callable[[Any], str] = str

    def code_for(self, error: ServingError) -> int:
        """Return the HTTP status for an error of this class."""
        return self.code if isinstance(self.code, int) else self.code(error)


def said(text: str) -> Callable[[ServingError], str]:
    """Make a message that is the same for every error of a class."""

    def message(error: ServingError) -> str:
        return text

    return message


def pretty(value: object, escape_html: bool = False) -> bytes:
    """Return JSON with two spaces of indentation and a final newline, as both peers print it."""
    text = _flat(value) if isinstance(value, dict) else None
    if text is None:
        text = json.dumps(value, indent=2, ensure_ascii=False)
    if escape_html:
        text = text.translate(_HTML_ESCAPES)
    # A lone surrogate leaves as the escape \udxxx, which is JSON for it.
    return text.encode("utf-8", "backslashreplace") + b"\n"


def _flat(value: dict[str, object]) -> str | None:
    """
    Return a JSON object of strings and numbers, indented; None for an object that holds others.

    What ``json`` needs to indent are closures in a circle, which each document leaves to the collector:
    too much where thousands of clients are refused.
    """
    if not value or any(isinstance(each, (dict, list, tuple)) for each in value.values()):
        return None
    pairs = [f"  {_encode(name)}: {_encode(each)}" for name, each in value.items()]
    return "{\n" + ",\n".join(pairs) + "\n}"


def timestamp(seconds: float) -> str:
    """Format a time (seconds since the epoch) as ``yyyy-MM-ddTHH:mm:ss.SSSZ`` in UTC."""
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    moment = datetime.fromtimestamp(whole, timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds:03d}Z"


def seconds(duration: float) -> int | float:
    """Return a duration in seconds as the APIs show it: an integer unless it has a fraction."""
    return int(duration) if duration == int(duration) else duration


def milliseconds(duration: float) -> int:
    """Convert a duration in seconds to the milliseconds of the APIs."""
    return round(duration * 1000)


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


def refuse(
    table: Mapping[type[ServingError], Refusal],
    error: ServingError,
    *,
    expose_errors: bool,
    overload_status: int,
    escape_html: bool = False,
    trace_id: str = "",
) -> Reply:
    """
    Return the reply for an error, by the nearest of its classes in ``table``.

    :param trace_id: of the request's trace, if it is traced.
    """
    refusal = next(table[kind] for kind in type(error).__mro__ if kind in table)
    code = overload_status if isinstance(error, QueueFull) else refusal.code_for(error)
    body: dict[str, object] = {"code": code, "type": refusal.type, "message": refusal.message(error)}
    body.update(_limit(error))
    if isinstance(error, NodeFailed):
        body.update({"node": error.node, "attempts": error.attempts, "cause": outcome_of(error)})
    if expose_errors:
        body.update(_cause(error))
    if trace_id:
        body["traceId"] = trace_id
    headers = [JSON_TYPE]
    if isinstance(error, (MemoryShort, NoWorkers, QueueFull)) and error.retry_after:
        headers.append((b"retry-after", b"%d" % max(1, ceil(error.retry_after))))
    return Reply(code, pretty(body, escape_html), headers=tuple(headers))


def out_of_memory_code(error: WorkerDied | WorkersFailed) -> int:
    """Return 507 where the worker ran out of memory, 500 otherwise."""
    return 507 if error.failure is not None and error.failure.out_of_memory else 500


def prediction_code(error: PredictionFailed) -> int:
    """Return the handler's status, or 500 where that is no final status."""
    return error.code if 200 <= error.code <= 999 else 500


def deadline_code(error: DeadlinePassed) -> int:
    """Return 504 once a worker had the request, 408 while it waited."""
    return 504 if error.started else 408


def is_of_management(error: ServingError) -> bool:
    """Return whether only management calls raise an error: who may register code may see it fail."""
    return isinstance(error, WorkersFailed | DownloadFailed | DependenciesFailed | WorkflowFailed)


def _limit(error: ServingError) -> dict[str, object]:
    """Return which limit refused a request; every client may know that."""
    if isinstance(error, QueueFull):
        return {"limit": error.limit_name, "limitValue": error.limit}
    if isinstance(error, MemoryShort):
        sizes = {"limitValue": error.limit, "reserved": error.reserved, "needed": error.needed}
        return {"limit": error.place, **sizes}
    if isinstance(error, NoWorkers):
        return {"limit": "no_worker"}
    return {}


def _cause(error: ServingError) -> dict[str, object]:
    """Return the cause as clients see it where the operator allows it (``expose_errors``)."""
    if isinstance(error, PredictionFailed) and error.exception:
        return {"exception": error.exception, "text": error.text}
    if isinstance(error, WorkerDied | WorkersFailed) and error.failure is not None:
        return _failure_keys(error.failure)
    if isinstance(error, DownloadFailed | NoWorkers) and error.reason:
        return {"reason": error.reason}
    if isinstance(error, DependenciesFailed) and error.cause:
        return {"reason": error.cause}
    if isinstance(error, NodeFailed):
        return {
            "reason": error.reason or str(error.cause),
            **({} if error.cause is None else _cause(error.cause)),
        }
    if isinstance(error, WorkflowFailed):
        first = error.failures[0]
        return {"node": first.node, **_cause(first.cause)}
    return {}


def _failure_keys(failure: WorkerFailure) -> dict[str, object]:
    keys: dict[str, object] = {"reason": str(failure)}
    if failure.exception is not None:
        keys |= {"exception": failure.exception, "text": failure.text or ""}
    keys["failure"] = failure_body(failure)
    return keys
