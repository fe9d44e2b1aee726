"""The engine of DeepSpeed."""

from modelserver.child.handlers.deepspeed_engine import create_checkpoints_json, get_ds_engine
from modelserver.compat.borrowed import borrowed

__all__ = ["create_checkpoints_json", "get_ds_engine"]

__getattr__ = borrowed(__name__)
