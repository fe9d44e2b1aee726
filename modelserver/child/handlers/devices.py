"""Which device a handler computes on."""

from __future__ import annotations

import importlib.util
import os


def choose_device(gpu_id: int | None) -> tuple[str, str]:
    """
    The kind of device, for loading weights, and the device itself: ``("cuda", "cuda:1")``.

    A GPU is used only if the server gave this worker a number of one.
    """
    import torch

    if gpu_id is not None:
        if torch.cuda.is_available():
            return "cuda", f"cuda:{gpu_id}"
        if os.environ.get("TS_IPEX_GPU_ENABLE", "").lower() == "true" and torch.xpu.is_available():
            return "xpu", f"xpu:{gpu_id}"
        if torch.backends.mps.is_available():
            return "mps", "mps"
    elif importlib.util.find_spec("torch_xla") is not None:
        import torch_xla.core.xla_model as xla  # type: ignore[import-not-found]  # on TPU machines only

        return "xla", str(xla.xla_device())
    return "cpu", "cpu"
