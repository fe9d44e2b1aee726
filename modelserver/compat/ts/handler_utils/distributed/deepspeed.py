"""The engine of DeepSpeed."""

from modelserver.child.handlers.deepspeed_engine import create_checkpoints_json, get_ds_engine

__all__ = ["create_checkpoints_json", "get_ds_engine"]
