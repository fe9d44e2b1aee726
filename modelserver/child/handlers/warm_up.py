"""Calls of a model before it is ready, as the section ``warmup`` of model-config.yaml declares them."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from modelserver.archive.warm_up_section import WarmUp
from modelserver.child.context import Context, EntryPoint, RequestProcessor
from modelserver.child.data.refusals import BAD_REQUEST

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

CALLS = 2
"""Calls of each batch size at least: what the first one compiles may be used from the second one on."""
SETTLING, MOST_CALLS = 0.25, 20
"""
Quick calls are made again, for so many seconds and so often at most, where no number is asked for.

The processor's caches, the interpreter and a library's threads take some calls until they are as fast as
they get.
"""
_TENSORS = (".pt", ".pth")


def run_warm_up(
    handler: Any,
    wanted: WarmUp,
    context: Context,
    clock: Callable[[], float] = time.perf_counter,
) -> None:
    """
    Call a handler's steps with each batch size.

    What cannot be compiled raises here, where a request would get the model as it is.

    :param handler: has ``preprocess``, ``inference`` and ``postprocess``; tensors go to the second alone.
    :param context: has the model's folder, and the envelope that the bodies of requests are in.
    :raises ValueError: the file is not there, or is refused as a request with this body would be.
    """
    model_dir: str = context.system_properties.get("model_dir") or ""
    wanted.require_file(model_dir)
    started = clock()
    with _compile_errors():
        for size in wanted.batch_sizes:
            try:
                _repeat(_call(handler, wanted, context, size), wanted.calls, clock)
            except Exception:
                log.error("The warm-up with a batch of %d has failed.", size)
                raise
    sizes = ", ".join(map(str, wanted.batch_sizes))
    log.info("Warmed up with batches of %s in %.2f s.", sizes, clock() - started)


def _repeat(call: Callable[[], object], calls: int | None, clock: Callable[[], float]) -> None:
    """Make so many calls, or the least number and then quick ones until they have settled."""
    now = clock()
    for _ in range(calls or CALLS):
        before, now = now, _called(call, clock)
    if calls is not None:
        return
    end, left = now + SETTLING, MOST_CALLS - CALLS
    while left and now + (now - before) <= end:
        before, now = now, _called(call, clock)
        left -= 1


def _called(call: Callable[[], object], clock: Callable[[], float]) -> float:
    call()
    return clock()


def _call(handler: Any, wanted: WarmUp, context: Context, size: int) -> Callable[[], object]:
    model_dir: str = context.system_properties.get("model_dir") or ""
    if wanted.file is None or wanted.file.endswith(_TENSORS):
        inputs = [batch_of(row, size).to(handler.device) for row in example_rows(wanted, model_dir)]
        return lambda: handler.inference(*inputs)
    rows = [{"body": _body(os.path.join(model_dir, wanted.file))} for _ in range(size)]
    return lambda: _answer(handler, rows, context)


def _answer(handler: Any, rows: Sequence[object], context: Context) -> None:
    """
    Answer requests as the worker's loop has them answered: their envelope is opened and closed.

    :raises ValueError: the envelope refused one, or the handler refused what was in it.
    """

    def steps(data: object, _: Context) -> object:
        return handler.postprocess(handler.inference(handler.preprocess(data)))

    entry: EntryPoint = steps
    if context.envelope is not None:
        from modelserver.child.envelopes.select import wrap

        entry = wrap(context.envelope, steps)
    context.request_processor = [RequestProcessor(b"") for _ in rows]
    try:
        answers = entry(rows, context)
        for place, answer in enumerate(answers if isinstance(answers, list) else ()):
            if isinstance(answer, Exception):
                raise answer
            if context.envelope is not None and context.get_response_status(place)[0] >= BAD_REQUEST:
                told = answer.get("error") if isinstance(answer, dict) else answer
                raise ValueError(f"warmup: the envelope {context.envelope} refuses the file: {told}")
    finally:
        context.request_processor = []


def example_rows(wanted: WarmUp, model_dir: str) -> list[torch.Tensor]:
    """
    The inputs of one row, without the batch: random ones, or those of a file.

    :raises ValueError: torch has no such dtype, or the file holds something else.
    """
    return _random(wanted) if wanted.file is None else _saved(os.path.join(model_dir, wanted.file))


def _random(wanted: WarmUp) -> list[torch.Tensor]:
    """
    Values of one row: between 0 and 1, or zeros of a dtype of whole numbers, which may be indexes.

    :raises ValueError: torch has no such dtype.
    """
    import torch

    dtype = getattr(torch, wanted.dtype, None)
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"warmup: torch has no dtype {wanted.dtype!r}")
    if not dtype.is_floating_point:
        return [torch.zeros(tuple(shape), dtype=dtype) for shape in wanted.shapes]
    return [torch.rand(tuple(shape)).to(dtype) for shape in wanted.shapes]


def _saved(path: str) -> list[torch.Tensor]:
    """
    The tensors of one row, from a file.

    :raises ValueError: it holds something else.
    """
    import torch

    saved = torch.load(path, map_location="cpu", weights_only=True)
    values = list(saved) if isinstance(saved, list | tuple) else [saved]
    if not values or not all(isinstance(value, torch.Tensor) for value in values):
        raise ValueError(f"warmup: {os.path.basename(path)} holds no tensor, and no list of tensors")
    return values


def batch_of(row: torch.Tensor, size: int) -> torch.Tensor:
    """A batch that repeats a row."""
    return row.unsqueeze(0).repeat(size, *(1 for _ in row.shape))


def _body(path: str) -> object:
    with open(path, "rb") as file:
        content = file.read()
    return json.loads(content) if path.endswith(".json") else content


@contextlib.contextmanager
def _compile_errors() -> Iterator[None]:
    """Let torch.compile raise what it otherwise only logs, where it is in use."""
    config = getattr(sys.modules.get("torch._dynamo"), "config", None)
    if config is None:
        yield
        return
    with config.patch(suppress_errors=False):
        yield
