"""What went wrong in a handler, in the codes that the peers give to it."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING

from modelserver.child.tracebacks import last_lines, text_of, whole_traceback
from modelserver.protocol.plain_text import without_escapes
from modelserver.protocol.worker_variables import LOCALS

if TYPE_CHECKING:
    from modelserver.child.context import Context

INTERNAL_ERROR, OUT_OF_MEMORY = 500, 507

_WIDTH = 110
_OWN_FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
"""The first frames of files in here tell nothing of the handler."""

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
        return cls(
            {
                "code": OUT_OF_MEMORY if is_out_of_memory(error) else INTERNAL_ERROR,
                "exception": type(error).__name__,
                "text": without_escapes(text_of(error)),
                "traceback": last_lines(error),
                "permanent": is_permanent(error),
            }
        )


class ClientsGone(ConnectionError):
    """Every client of the streamed batch has left: there is nobody to send the next part to."""


def report_failure(error: BaseException, context: Context) -> None:
    """
    Print an exception of the handler, with the ids of the requests in hand; not that clients have left.

    :raises DeviceFailed: it says that this process can use its device no more.
    """
    if isinstance(error, ClientsGone):
        return
    ids = ", ".join((context.request_ids or {}).values())
    text = shown_traceback(error)
    print(f"Invoking custom service failed. Request {ids}:\n{text}", file=sys.stderr, flush=True)
    if context.device_watch is not None:
        context.device_watch.check(error)


def print_traceback(error: BaseException) -> None:
    """Print why a handler could not be loaded."""
    print(shown_traceback(error), file=sys.stderr, end="", flush=True)


def shown_traceback(error: BaseException) -> str:
    """Return the traceback of a handler's exception as the log is to have it."""
    if os.environ.get(LOCALS) != "1":
        return whole_traceback(error)
    # For those who write handlers; values may be secrets, so that nobody else gets them.
    from rich.console import Console
    from rich.traceback import Traceback

    console = Console(width=_WIDTH, no_color=True, force_terminal=False)
    frames = _from_the_handler_on(error.__traceback__)
    shown = Traceback.from_exception(type(error), error, frames, show_locals=True, width=_WIDTH)
    with console.capture() as text:
        console.print(shown)
    return text.get()


def _from_the_handler_on(frames: TracebackType | None) -> TracebackType | None:
    """Return what is the handler's of a traceback; nothing of it is where its code cannot be compiled."""
    frame = frames
    while frame is not None:
        file = frame.tb_frame.f_code.co_filename
        if not file.startswith((_OWN_FOLDER, "<frozen importlib")) and file != importlib.__file__:
            return frame
        frame = frame.tb_next
    return None


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
    return "CUDA" in text_of(error)
