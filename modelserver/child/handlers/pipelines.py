"""Pipelines over several ranks: the RPC between them, and PiPPy's driver where that is installed."""

from __future__ import annotations

import inspect
import os
from collections.abc import Collection, Mapping
from typing import Any

from modelserver.child.context import Context


def _section(context: Context, name: str) -> Mapping[str, Any]:
    section = context.model_yaml_config.get(name)
    return section if isinstance(section, Mapping) else {}


def initialize_rpc_workers(local_rank: int, world_size: int, ctx: Context) -> None:
    """
    Join the other ranks as ``worker<rank>`` of ``torch.distributed.rpc``.

    ``rpc_timeout`` (seconds) and ``num_worker_threads`` come from the section ``pippy`` of model-config.yaml.
    """
    import torch
    from torch.distributed import rpc

    wanted = {
        name: value
        for name, value in _section(ctx, "pippy").items()
        if name in ("rpc_timeout", "num_worker_threads")
    }
    options = rpc.TensorPipeRpcBackendOptions(**wanted)
    devices = torch.cuda.device_count()
    for other in range(world_size if devices else 0):
        options.set_device_map(f"worker{other}", {local_rank % devices: other % devices})
    name = f"worker{local_rank}"
    rpc.init_rpc(  # type: ignore[no-untyped-call]  # torch's
        name, rank=local_rank, world_size=world_size, rpc_backend_options=options
    )


def get_pipeline_driver(model: Any, world_size: int, ctx: Context) -> Any:
    """
    Cut a model into one stage for each rank; what it returns is called like the model.

    :raises ImportError: PiPPy is not installed.
    :raises ValueError: model-config.yaml lacks a key, or names a file that does not exist.
    """
    try:
        import pippy
        from pippy import split_into_equal_size
        from pippy.hf import PiPPyHFTracer, inject_pipeline_forward
    except ImportError as error:
        raise ImportError("get_pipeline_driver needs the package torchpippy, which is not here.") from error
    _check_keys(ctx)
    section, index = _section(ctx, "pippy"), _index_file(ctx)
    model.eval()
    is_transformer = section["model_type"] == "HF"
    driver, _ = pippy.all_compile(
        model,
        num_ranks=world_size,
        num_chunks=section.get("chunks", 1),
        schedule="FillDrain",
        split_policy=split_into_equal_size(world_size),
        tracer=PiPPyHFTracer() if is_transformer else None,
        concrete_args=_constants(model, section["input_names"], is_transformer),
        index_filename=index,
        checkpoint_prefix=None,
    )
    if not is_transformer:
        return driver
    inject_pipeline_forward(model, driver)
    return model


def _check_keys(context: Context) -> None:
    missing = [
        f"{name}.{key}"
        for name, keys in (("pippy", ("input_names", "model_type")), ("handler", ("model_path",)))
        for key in keys
        if key not in _section(context, name)
    ]
    if missing:
        raise ValueError(f"model-config.yaml lacks {', '.join(missing)}.")


def _index_file(context: Context) -> str | None:
    handler = _section(context, "handler")
    name = handler.get("index_filename")
    if name is None:
        return None
    index: str = os.path.join(handler["model_path"], name)
    if not os.path.exists(index):
        raise ValueError(f"Index file {index!r} does not exist.")
    return index


def _constants(model: Any, inputs: Collection[str], is_transformer: bool) -> dict[str, Any]:
    """The defaults of what ``forward`` takes and is no input: PiPPy traces the model with them."""
    constants = {
        parameter.name: parameter.default
        for parameter in inspect.signature(model.forward).parameters.values()
        if parameter.name not in inputs
    }
    if is_transformer and "bloom" in str(type(model)):
        constants.setdefault("deprecated_arguments", {})
    return constants
