"""The frame that tells what a worker has of its GPUs' memory."""

from __future__ import annotations

from modelserver.devices import GpuMemory
from modelserver.protocol import frames
from modelserver.protocol.documents import whole

HOLDINGS = ("allocated", "reserved", "peak")
"""The numbers of a DEVICE_MEMORY frame."""


def read_device_memory(frame: frames.Frame) -> GpuMemory:
    """
    Read a DEVICE_MEMORY frame.

    :raises FrameError: a number is missing, or is below 0.
    """
    document = frames.unpack_json(frame)
    allocated, reserved, peak = (whole(document, name) for name in HOLDINGS)
    if allocated is None or reserved is None or peak is None or min(allocated, reserved, peak) < 0:
        raise frames.FrameError("no bytes of a device")
    return GpuMemory(allocated, reserved, peak)
