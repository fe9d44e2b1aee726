"""Pipelines over several ranks."""

from importlib.util import find_spec

from modelserver.child.handlers.pipelines import get_pipeline_driver, initialize_rpc_workers
from modelserver.compat.borrowed import borrowed

__all__ = ["get_pipeline_driver", "initialize_rpc_workers", "pippy_installed"]

pippy_installed = find_spec("pippy") is not None

__getattr__ = borrowed(__name__)
