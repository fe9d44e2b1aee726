"""DeepSpeed's engine for a model, where DeepSpeed is installed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelserver.child.context import Context

_CHECKPOINTS = (".bin", ".pt")


def create_checkpoints_json(model_path: str, checkpoints_json: str) -> None:
    """Write the file that tells DeepSpeed where a model's checkpoints are."""
    files = sorted(str(path) for path in Path(model_path).rglob("*") if path.suffix in _CHECKPOINTS)
    with open(checkpoints_json, "w", encoding="utf-8") as file:
        json.dump({"type": "ds_model", "checkpoints": files, "version": 1.0}, file)


def get_ds_engine(model: Any, ctx: Context) -> Any:
    """
    The engine of ``deepspeed.init_inference``, as the section ``deepspeed`` of model-config.yaml says.

    :raises ImportError: DeepSpeed is not installed.
    :raises ValueError: there is no such section, or no file that it names.
    """
    try:
        import deepspeed
    except ImportError as error:
        raise ImportError("get_ds_engine needs the package deepspeed, which is not here.") from error
    section = ctx.model_yaml_config.get("deepspeed")
    handler = ctx.model_yaml_config.get("handler")
    if not isinstance(section, Mapping) or not isinstance(handler, Mapping) or "model_path" not in handler:
        raise ValueError(f"model-config.yaml of {ctx.model_name} needs deepspeed and handler.model_path.")
    folder = str(ctx.system_properties["model_dir"])
    config = os.path.join(folder, str(section["config"])) if "config" in section else None
    checkpoint = os.path.join(folder, str(section["checkpoint"])) if "checkpoint" in section else None
    if config is not None and not os.path.exists(config):
        raise ValueError(f"{ctx.model_name} has no deepspeed config file {config}")
    if checkpoint is not None:
        create_checkpoints_json(str(handler["model_path"]), checkpoint)
    return deepspeed.init_inference(
        model, config=config, base_dir=handler["model_path"], checkpoint=checkpoint
    )
