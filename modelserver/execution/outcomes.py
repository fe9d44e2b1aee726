"""How a run, or a call of a node, came to its end: a word for each outcome, as metrics have it."""

from __future__ import annotations

from modelserver.core.shortage import MemoryShort
from modelserver.errors import (
    BadRequest,
    DeadlinePassed,
    NoWorkers,
    PredictionFailed,
    QueueFull,
    ServingError,
    WorkerDied,
)
from modelserver.workflows.errors import NodeFailed

ANSWERED = "answered"
TIME_OVER = "deadline"
CLIENT_LEFT = "client"
_WORDS: tuple[tuple[type[ServingError], str], ...] = (
    (NoWorkers, "no_worker"),
    (MemoryShort, "memory"),
    (DeadlinePassed, TIME_OVER),
    (WorkerDied, "worker"),
    (PredictionFailed, "handler"),
    (BadRequest, "request"),
)


def outcome_of(error: Exception) -> str:
    """Return the word for an error; a full queue has the name of its limit."""
    if isinstance(error, NodeFailed):
        return "answer" if error.cause is None else outcome_of(error.cause)
    if isinstance(error, QueueFull):
        return error.limit_name
    return next((word for kind, word in _WORDS if isinstance(error, kind)), "other")
