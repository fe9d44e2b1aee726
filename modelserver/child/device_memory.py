"""What this process has of its GPUs' memory, as torch knows it; the server is told of changes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from modelserver.child.context import Context
from modelserver.protocol import frames
from modelserver.protocol.device_memory import HOLDINGS

INTERVAL = 0.25
"""Seconds between two looks at least."""

Holdings = tuple[int, int, int]
"""Bytes that are allocated, reserved, and were allocated at most: see ``devices.GpuMemory``."""


def torch_holdings(modules: Mapping[str, Any] = sys.modules) -> Holdings | None:
    """
    Return what torch has on all devices together; None where this process does not use CUDA with torch.

    It makes no context: a device that was not used has none of it.

    :param modules: those that are loaded.
    """
    torch = modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    devices = range(torch.cuda.device_count())
    return (
        sum(torch.cuda.memory_allocated(device) for device in devices),
        sum(torch.cuda.memory_reserved(device) for device in devices),
        sum(torch.cuda.max_memory_allocated(device) for device in devices),
    )


class DeviceMemory:
    """
    Makes frames of what has changed, from time to time.

    :param now: seconds on any clock.
    """

    def __init__(
        self,
        holdings: Callable[[], Holdings | None] = torch_holdings,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._holdings = holdings
        self._now = now
        self._next = 0.0
        self._told: Holdings | None = None

    @classmethod
    def of(cls, context: Context) -> DeviceMemory | None:
        """Return what tells of a worker that has a GPU, None for others."""
        return None if context.system_properties.get("gpu_id") is None else cls()

    def news(self) -> bytes | None:
        """Return a frame if there is something new, and the time has come to look."""
        now = self._now()
        if now < self._next:
            return None
        self._next = now + INTERVAL
        try:
            found = self._holdings()
        except (RuntimeError, AttributeError):
            return None  # the device refuses, as its next call tells; or a thread still imports torch
        if found is None or found == self._told:
            return None
        self._told = found
        return frames.pack_json(frames.DEVICE_MEMORY, dict(zip(HOLDINGS, found, strict=True)))
