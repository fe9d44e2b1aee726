"""How an error becomes a reply: by a dialect's table of refusals, with the cause where that may be told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil
from typing import Any

from modelserver.core.shortage import MemoryShort
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
from modelserver.rest.dialects.bodies import failure_body
from modelserver.rest.dialects.json_text import JSON_TYPE, pretty
from modelserver.spec import WorkerFailure
from modelserver.workflows.errors import NodeFailed, WorkflowFailed


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
