"""
The programs that this package installs.

Each imports what it runs when it is run: Ctrl-C is answered quietly from the first of our lines on.
"""

from __future__ import annotations

import importlib

from modelserver.system.interrupts import end_quietly


class Program:
    """
    One of them; to call it is to run it, which returns the exit status.

    :param function: of the module.
    """

    def __init__(self, module: str, function: str = "main") -> None:
        self.module = module
        self.function = function

    def __call__(self) -> int:
        end_quietly()
        status: int = getattr(importlib.import_module(self.module), self.function)()
        return status


modelserver = Program("modelserver.cli.main")
model_archiver = Program("modelserver.cli.archivers.model_archiver")
multi_model_server = Program("modelserver.cli.launchers.multi_model_server")
mxnet_model_server = Program("modelserver.cli.launchers.multi_model_server", "main_by_old_name")
torch_model_archiver = Program("modelserver.cli.archivers.torch_model_archiver")
torch_workflow_archiver = Program("modelserver.cli.archivers.torch_workflow_archiver")
torchserve = Program("modelserver.cli.launchers.torchserve")
