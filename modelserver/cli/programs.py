"""
The programs that this package installs.

Each imports what it runs when it is run: Ctrl-C is answered quietly from the first of our lines on.
"""

from __future__ import annotations

import importlib

from modelserver.system.interrupts import end_quietly


def modelserver() -> int:
    """Run ``modelserver``."""
    return _run("modelserver.cli.main")


def model_archiver() -> int:
    """Run ``model-archiver``."""
    return _run("modelserver.cli.archivers.model_archiver")


def multi_model_server() -> int:
    """Run ``multi-model-server``."""
    return _run("modelserver.cli.launchers.multi_model_server")


def mxnet_model_server() -> int:
    """Run ``mxnet-model-server``."""
    return _run("modelserver.cli.launchers.multi_model_server", "main_by_old_name")


def torch_model_archiver() -> int:
    """Run ``torch-model-archiver``."""
    return _run("modelserver.cli.archivers.torch_model_archiver")


def torch_workflow_archiver() -> int:
    """Run ``torch-workflow-archiver``."""
    return _run("modelserver.cli.archivers.torch_workflow_archiver")


def torchserve() -> int:
    """Run ``torchserve``."""
    return _run("modelserver.cli.launchers.torchserve")


def _run(module: str, function: str = "main") -> int:
    end_quietly()
    status: int = getattr(importlib.import_module(module), function)()
    return status
