"""Models that torch has exported or compiled ahead of time (``.pt2``), run as the section ``pt2`` says."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from modelserver.archive.pt2_section import BatchBounds, read_program_options
from modelserver.archive.weights_formats import WeightsFormat, weights_format
from modelserver.child.handlers.batch_bounds import BoundedModel
from modelserver.child.handlers.compilation import compiled
from modelserver.child.handlers.compiled_packages import load_package, package_facts

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

_UNBOUNDED = 2**31
"""No batch has as many rows: torch's own words for "no upper bound" differ between its versions."""


class AheadOfTime(NamedTuple):
    """
    A model that was made ahead of time.

    :param device: where it computes, and its inputs have to be.
    """

    model: Callable[..., Any]
    device: torch.device


def load_ahead_of_time(
    path: str, device: torch.device, config: Mapping[str, object], batch_size: int | None = None
) -> AheadOfTime:
    """
    Load a ``.so`` of torch._export, a package of AOTInductor, or a program of torch.export.

    :param device: the worker's.
    :param config: ``model-config.yaml``; its section ``pt2`` may name another device and the batches.
    :param batch_size: how many requests come at most, for the log.
    :raises ValueError: the options are wrong, or contradict the file.
    """
    import torch

    found = weights_format(path)
    wanted, batch = read_program_options(config)
    device = device if wanted is None else torch.device(wanted)
    if found is WeightsFormat.SHARED_LIBRARY:
        from torch._export import aot_load

        return AheadOfTime(aot_load(path, device.type), device)
    if found is WeightsFormat.COMPILED_PACKAGE:
        facts = package_facts(path)
        device = _device_of_package(facts.device, device, is_wanted=wanted is not None)
        model, bounds = load_package(path, device, facts.model), facts.bounds
    else:
        with open(path, "rb") as file:  # a path would have to end in .pt2
            program = torch.export.load(file)
        model, bounds = compiled(_module_on(program, device), config), program_bounds(program)
    return AheadOfTime(_bounded(model, batch, bounds, batch_size), device)


def _device_of_package(compiled_for: str | None, device: torch.device, is_wanted: bool) -> torch.device:
    """
    The device that a package computes on: it cannot be moved.

    :raises ValueError: it was compiled for another kind than was asked for, or than there is.
    """
    import torch

    if compiled_for is None or compiled_for == device.type:
        return device
    if is_wanted or compiled_for != "cpu":
        raise ValueError(f"The package was compiled for {compiled_for}, and this worker computes on {device}")
    log.info("The package was compiled for the CPU: it runs there, not on %s.", device)
    return torch.device(compiled_for)


def _module_on(program: Any, device: torch.device) -> Any:
    """The module of a program; on another device than it was exported on, its own tensors go there, too."""
    homes = {value.device.type for value in (*program.state_dict.values(), *program.constants.values())
             if hasattr(value, "device")}  # fmt: skip
    if homes - {device.type}:
        try:
            from torch.export.passes import move_to_device_pass
        except ImportError:
            pass  # before torch 2.7: parameters and buffers move, what the program itself makes does not
        else:
            program = move_to_device_pass(program, str(device))
    return program.module().to(device)


def program_bounds(program: Any) -> BatchBounds | None:
    """The sizes of the first dimension of the first input that an exported program takes, if it says."""
    inputs = program.graph_signature.user_inputs
    values = [node.meta.get("val") for node in program.graph.nodes if inputs and node.name == inputs[0]]
    shape = getattr(values[0], "shape", ()) if values else ()
    if not shape:
        return None
    if isinstance(shape[0], int):
        return BatchBounds(shape[0], shape[0])
    limits = program.range_constraints.get(shape[0].node.expr)
    if limits is None:
        return None
    return BatchBounds(max(1, int(limits.lower)), int(limits.upper) if limits.upper < _UNBOUNDED else None)


def _bounded(
    model: Callable[..., Any], declared: BatchBounds | None, own: BatchBounds | None, batch_size: int | None
) -> Callable[..., Any]:
    """
    The model for batches of any size, which says what it does with them.

    :raises ValueError: what is declared goes beyond what the model takes.
    """
    bounds = declared or own
    if bounds is None:
        log.info("The model does not say what batches it takes; pt2: {batch: ...} in model-config.yaml can.")
        return model
    if declared is not None and own is not None and not _is_within(declared, own):
        raise ValueError(f"pt2: batch is {declared}, but the model takes {own}")
    if bounds != BatchBounds():
        more = "" if batch_size is None else f"; batchSize is {batch_size}"
        log.info(
            "The model takes batches of %s%s. Smaller ones are padded, larger ones are cut.", bounds, more
        )
        return BoundedModel(model, bounds)
    return model


def _is_within(inner: BatchBounds, outer: BatchBounds) -> bool:
    if outer.most is not None and (inner.most is None or inner.most > outer.most):
        return False
    return inner.least >= outer.least
