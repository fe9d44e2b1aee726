"""The errors of the server, for tests that look whether a table has them all."""

from __future__ import annotations

from modelserver import errors
from modelserver.spec import WorkerFailure

LOAD_FAILURE = WorkerFailure(
    cause="load",
    at=0.5,
    exit_code=1,
    exception="ImportError",
    text="No module named 'nothing'",
    traceback=("line 1",),
    stderr=("sad",),
)
OUT_OF_MEMORY = WorkerFailure(cause="signal", at=0.0, signal="SIGKILL", out_of_memory=True)


def of_the_server() -> list[type[errors.ServingError]]:
    """The server's errors, without those that other tests made, or attrs on the way."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    return [kind for kind in kinds if errors.ServingError in kind.__bases__]
