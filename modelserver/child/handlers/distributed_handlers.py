"""What handlers of models that span several ranks build on."""

from __future__ import annotations

import os
from abc import ABC

from modelserver.child.context import Context
from modelserver.child.handlers.base_handler import BaseHandler
from modelserver.child.handlers.pipelines import initialize_rpc_workers


class BasePippyHandler(BaseHandler, ABC):
    """Joins the ranks by RPC, for a pipeline whose first rank calls the others."""

    local_rank: int
    world_size: int

    def initialize(self, ctx: Context) -> None:
        """
        Take this rank's device and join the others.

        :raises RuntimeError: torchrun has not started this process.
        """
        import torch

        if "LOCAL_RANK" not in os.environ:
            raise RuntimeError("BasePippyHandler needs parallelType pp in model-config.yaml.")
        self.local_rank = int(os.environ["LOCAL_RANK"])
        self.world_size = int(os.environ["WORLD_SIZE"])
        devices = torch.cuda.device_count()
        self.device = torch.device("cuda", self.local_rank % devices) if devices else torch.device("cpu")
        initialize_rpc_workers(self.local_rank, self.world_size, ctx)


class BaseDeepSpeedHandler(BaseHandler, ABC):
    """Takes the device with this rank's number, where DeepSpeed wants it."""

    def initialize(self, ctx: Context) -> None:
        """Take this rank's device."""
        import torch

        rank = int(os.environ.get("LOCAL_RANK", "0"))
        self.device = torch.device("cuda", rank) if torch.cuda.is_available() else torch.device("cpu")
