"""
Makes a ``.pt2`` of a model file and its weights, compares the two, and measures both.

A process of its own, ``python -m modelserver.child.handlers.conversion ORDER RESULT``: two JSON files, see
:class:`Order` and :func:`convert`. ``modelserver archive convert`` runs it.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from modelserver.archive.pt2_section import BatchBounds
from modelserver.archive.warm_up_section import read_warm_up
from modelserver.child.handlers.programs import load_ahead_of_time
from modelserver.child.handlers.warm_up import batch_of, example_rows
from modelserver.child.handlers.weights import load_eager

if TYPE_CHECKING:
    import torch

CALLS = 30
"""Calls that a time is the median of; some more before them are not counted."""
LARGEST_COMPARED = 16
RELATIVE, ABSOLUTE = 1e-3, 1e-4
"""How far two answers may be apart, for the order of sums differs."""


class Order(NamedTuple):
    """
    What is to be made.

    :param folder: the unpacked archive.
    :param example: the section ``warmup`` of model-config.yaml, or what the command was told like it.
    :param is_compiled: make a package of AOTInductor, else a program of torch.export.
    """

    folder: str
    model_file: str
    weights: str | None
    example: dict[str, object]
    least: int
    most: int
    is_compiled: bool
    target: str


def convert(order: Order) -> dict[str, object]:
    """
    Make ``target``, and return what was compared and measured; times are seconds.

    :raises Exception: what torch raises where a model cannot be exported.
    """
    import torch

    weights = None if order.weights is None else os.path.join(order.folder, order.weights)
    eager, eager_load = _timed(lambda: load_eager(order.folder, order.model_file, weights, "cpu").eval())
    rows = example_rows(read_warm_up(order.example, None), order.folder)
    with torch.inference_mode(mode=False), torch.no_grad():
        _export(eager, rows, order)
        made, made_load = _timed(
            lambda: load_ahead_of_time(order.target, torch.device("cpu"), {}, None).model
        )
        sizes = sorted({order.least, min(order.most, LARGEST_COMPARED)})
        difference = max(_difference(eager, made, [_varied(row, size) for row in rows]) for size in sizes)
        inputs = [_varied(row, sizes[-1]) for row in rows]
        return {
            "batches": str(BatchBounds(order.least, order.most)),
            "compared": sizes,
            "largestDifference": difference,
            "loadSeconds": {"eager": eager_load, "pt2": made_load},
            "measuredBatch": sizes[-1],
            "callSeconds": {"eager": _median(eager, inputs), "pt2": _median(made, inputs)},
            "torch": torch.__version__,
        }


def _timed(make: Callable[[], Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    made = make()
    return made, time.perf_counter() - started


def _export(model: torch.nn.Module, rows: Sequence[torch.Tensor], order: Order) -> None:
    import torch

    is_fixed = order.least == order.most
    # A size of one would be taken for a constant.
    size = order.least if is_fixed else max(2, order.least)
    shapes = None
    if not is_fixed:
        batch = torch.export.Dim("batch", min=order.least, max=order.most)
        shapes = tuple({0: batch} for _ in rows)
    inputs = tuple(batch_of(row, size) for row in rows)
    program = torch.export.export(model, inputs, dynamic_shapes=shapes)
    if order.is_compiled:
        torch._inductor.aoti_compile_and_package(program, package_path=order.target)
    else:
        torch.export.save(program, order.target)


def _varied(row: torch.Tensor, size: int) -> torch.Tensor:
    """A batch of rows that differ, so that mixed ones are seen; whole numbers, maybe indexes, stay."""
    batch = batch_of(row, size)
    if not row.is_floating_point():
        return batch
    for place in range(size):
        batch[place] /= place + 1
    return batch


def _difference(eager: Callable[..., Any], made: Callable[..., Any], inputs: Sequence[torch.Tensor]) -> float:
    """
    The largest distance between two answers.

    :raises ValueError: they have another form, or are further apart than rounding explains.
    """
    import torch
    from torch.utils._pytree import tree_flatten

    (wanted, form), (got, other) = tree_flatten(eager(*inputs)), tree_flatten(made(*inputs))
    if form != other:
        raise ValueError(f"The converted model answers {other}, not {form}")
    largest = 0.0
    for one, two in zip(wanted, got, strict=True):
        if not isinstance(one, torch.Tensor):
            continue
        if one.shape != two.shape or not torch.allclose(
            one, two, rtol=RELATIVE, atol=ABSOLUTE, equal_nan=True
        ):
            raise ValueError(
                f"The converted model answers a batch of {len(inputs[0])} otherwise than the original: a "
                "model that decides by the values of its inputs, or draws random numbers, cannot be exported."
            )
        if one.numel():
            largest = max(largest, float((one.double() - two.double()).abs().nan_to_num().max()))
    return largest


def _median(model: Callable[..., Any], inputs: Sequence[torch.Tensor]) -> float:
    for _ in range(CALLS // 10):
        model(*inputs)
    return statistics.median(_timed(lambda: model(*inputs))[1] for _ in range(CALLS))


def main(order_file: str, result_file: str) -> None:
    """Do what one file says, and write the result or ``{"error": ...}`` into the other."""
    with open(order_file, encoding="utf-8") as file:
        order = Order(**json.load(file))
    os.chdir(order.folder)
    sys.path.insert(0, order.folder)
    try:
        result = convert(order)
    except Exception as error:
        result = {"error": f"{type(error).__name__}: {error}"}
    with open(result_file, "w", encoding="utf-8") as file:
        json.dump(result, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
