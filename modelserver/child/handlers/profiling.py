"""Runs of a handler under torch's profiler, where ENABLE_TORCH_PROFILER is set."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from torch.profiler import profile

R = TypeVar("R")


def is_profiler_wanted() -> bool:
    """Whether this worker's environment asks for the profiler."""
    return bool(os.environ.get("ENABLE_TORCH_PROFILER"))


def trace_folder(model_name: str) -> str:
    """Where the traces of a model are written; it is known by the name in its archive."""
    return os.path.join(tempfile.gettempdir(), "pytorch_profiler", model_name)


def profiled(call: Callable[[], R], model_name: str, options: Mapping[str, Any]) -> tuple[R, profile]:
    """
    The result of a call, and the profiler that watched it.

    :param options: arguments for ``torch.profiler.profile``. Unless they name an ``on_trace_ready``, there
        are traces for TensorBoard.
    """
    from torch.profiler import profile, tensorboard_trace_handler

    arguments: dict[str, Any] = dict(options) or {"record_shapes": True}
    arguments.setdefault("on_trace_ready", tensorboard_trace_handler(trace_folder(model_name)))
    with profile(**arguments) as profiler:
        result = call()
    return result, profiler
