"""What went wrong in a handler, in the codes that the peers give to it."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING

from modelserver.protocol.plain_text import without_escapes

if TYPE_CHECKING:
    from modelserver.child.context import Context

KEPT_LINES = 30
"""Lines of a traceback that the server is told: the last ones."""
INTERNAL_ERROR, OUT_OF_MEMORY = 500, 507

_PERMANENT = (
    ImportError,
    SyntaxError,
    NameError,
    NotImplementedError,
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
)
_PERMANENT_NAMES = frozenset(
    {
        ("_pickle", "UnpicklingError"),
        ("pickle", "UnpicklingError"),
        ("zipfile", "BadZipFile"),
        ("gzip", "BadGzipFile"),
        ("tarfile", "ReadError"),
        ("zlib", "error"),
        ("safetensors_rust", "SafetensorError"),
    }
)
"""Module and name of exceptions that say: this file is not what it should be. They are not imported here, for
a worker's start should not take longer for them."""


class LoadFailed(Exception):
    """
    The handler could not be loaded.

    :param report: what the server is told, as JSON.
    """

    def __init__(self, report: Mapping[str, object]) -> None:
        super().__init__(report)
        self.report = report

    @classmethod
    def because(cls, error: BaseException) -> LoadFailed:
        """Describe an exception that the handler's import or ``initialize`` raised."""
        lines = without_escapes("".join(traceback.format_exception(error))).splitlines()
        return cls(
            {
                "code": OUT_OF_MEMORY if is_out_of_memory(error) else INTERNAL_ERROR,
                "exception": type(error).__name__,
                "text": without_escapes(str(error)),
                "traceback": lines[-KEPT_LINES:],
                "permanent": is_permanent(error),
            }
        )


class ClientsGone(ConnectionError):
    """Every client of the streamed batch has left: there is nobody to send the next part to."""


def log_failure(error: BaseException, context: Context) -> None:
    """Print an exception of the handler, with the ids of the requests in hand; not that clients have left."""
    if isinstance(error, ClientsGone):
        return
    ids = ", ".join((context.request_ids or {}).values())
    text = "".join(traceback.format_exception(error))
    print(f"Invoking custom service failed. Request {ids}:\n{text}", file=sys.stderr, flush=True)


def is_permanent(error: BaseException) -> bool:
    """
    Return whether loading the same files again can only fail again.

    That the code or a file of the archive is wrong does not change; what may depend on the moment (a
    connection, memory, a value that somebody else returned) does.
    """
    return isinstance(error, _PERMANENT) or any(
        (base.__module__, base.__name__) in _PERMANENT_NAMES for base in type(error).__mro__
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether a load failed for want of memory, the host's or a GPU's."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and (type(error).__name__ == "OutOfMemoryError" or _names_cuda(error))
    )


def is_out_of_resources(error: BaseException) -> bool:
    """Return whether a prediction failed for want of memory; any exception that names CUDA counts."""
    return is_out_of_memory(error) or _names_cuda(error)


def _names_cuda(error: BaseException) -> bool:
    # As TorchServe decides it (ts/service.py, ``Service.predict``): CUDA reports some shortages of memory as
    # other errors, such as CUBLAS_STATUS_NOT_INITIALIZED, and torch has one class for nearly all of them.
    return "CUDA" in str(error)
