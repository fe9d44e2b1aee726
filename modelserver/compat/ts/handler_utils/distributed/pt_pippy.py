"""Pipelines over several ranks."""

from modelserver.child.handlers.pipelines import get_pipeline_driver, initialize_rpc_workers

__all__ = ["get_pipeline_driver", "initialize_rpc_workers"]
