"""The machine's NVIDIA GPUs, as the vendor's library lists them."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from types import ModuleType

from attrs import define, field
from twisted.logger import Logger

from modelserver.devices import Gpu, GpuUsage

_log = Logger()


def load_library() -> ModuleType | None:
    """Return the library, initialized; None where the library or the driver is absent."""
    try:
        # It fails at once where the driver is absent, and pynvml takes time to load.
        ctypes.CDLL("libnvidia-ml.so.1")
        import pynvml

        pynvml.nvmlInit()
    except Exception as reason:  # the library has a class for each of many reasons; all mean: no GPU
        _log.debug("No NVIDIA GPU: {reason}", reason=reason)
        return None
    library: ModuleType = pynvml
    return library


@define(eq=False)
class NvidiaInventory:
    """
    The GPUs that handlers will see: those that ``CUDA_VISIBLE_DEVICES`` leaves, in its order.

    :param library: ``pynvml``, initialized, or None for no GPU at all.
    """

    library: ModuleType | None
    environment: Mapping[str, str]
    _physical: tuple[int, ...] = field(init=False)

    def __attrs_post_init__(self) -> None:
        count = 0 if self.library is None else int(self.library.nvmlDeviceGetCount())
        self._physical = visible(self.environment.get("CUDA_VISIBLE_DEVICES"), count)

    def gpus(self) -> Sequence[Gpu]:
        """Return the visible devices."""
        return [Gpu(index, self._name(physical)) for index, physical in enumerate(self._physical)]

    def _name(self, physical: int) -> str:
        if self.library is None:
            return ""
        name = self.library.nvmlDeviceGetName(self.library.nvmlDeviceGetHandleByIndex(physical))
        return name.decode() if isinstance(name, bytes) else str(name)

    def usage(self, gpu_id: int) -> GpuUsage | None:
        """Return a device's load, or None if the driver does not report one."""
        if self.library is None or not 0 <= gpu_id < len(self._physical):
            return None
        try:
            handle = self.library.nvmlDeviceGetHandleByIndex(self._physical[gpu_id])
            rates = self.library.nvmlDeviceGetUtilizationRates(handle)
            memory = self.library.nvmlDeviceGetMemoryInfo(handle)
        except self.library.NVMLError:
            return None
        return GpuUsage(float(rates.gpu), float(rates.memory), int(memory.used))


def visible(setting: str | None, count: int) -> tuple[int, ...]:
    """
    Return the physical indices that ``CUDA_VISIBLE_DEVICES`` leaves of ``count`` devices.

    As CUDA reads it: the list ends at the first entry that names no device; unset means all. Entries that
    are UUIDs cannot be told apart here and end the list as well.
    """
    if setting is None:
        return tuple(range(count))
    found: list[int] = []
    for entry in setting.split(","):
        text = entry.strip()
        if not (text.isascii() and text.isdigit()) or int(text) >= count or int(text) in found:
            break
        found.append(int(text))
    return tuple(found)
