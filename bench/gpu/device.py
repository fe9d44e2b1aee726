"""What the vendor's library says of the first GPU, for comparison with what the server says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

from attrs import frozen

_GAUGE = re.compile(r'^modelserver_gpu_memory_bytes\{gpu="(\d+)"\} (\S+)$', re.MULTILINE)


@frozen
class Device:
    """
    One device, by the library.

    :param library: ``pynvml``, initialized.
    """

    library: ModuleType
    index: int = 0

    @property
    def _handle(self) -> Any:
        return self.library.nvmlDeviceGetHandleByIndex(self.index)

    @property
    def uuid(self) -> str:
        """Its name in ``CUDA_VISIBLE_DEVICES``."""
        return _text(self.library.nvmlDeviceGetUUID(self._handle))

    @property
    def name(self) -> str:
        """What it is called."""
        return _text(self.library.nvmlDeviceGetName(self._handle))

    @property
    def used(self) -> int:
        """Bytes of its memory that are in use."""
        return int(self.library.nvmlDeviceGetMemoryInfo(self._handle).used)

    def processes(self) -> dict[int, int]:
        """
        Return the bytes of each process that has a context, 0 where the driver does not tell.

        In a container the ids may be those of the host.
        """
        found = self.library.nvmlDeviceGetComputeRunningProcesses(self._handle)
        return {int(each.pid): int(each.usedGpuMemory or 0) for each in found}


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def bare_uuid(text: str) -> str:
    """Return a UUID without the ``GPU-`` that the driver puts before it, and torch does not."""
    return text.removeprefix("GPU-").lower()


def told_bytes(metrics: str) -> dict[int, int]:
    """Return the bytes in use by device, as the text of ``/metrics`` has them."""
    return {int(gpu): int(float(value)) for gpu, value in _GAUGE.findall(metrics)}


def told_of_worker(described: Iterable[Mapping[str, Any]], pid: int) -> int:
    """Return the bytes of a worker on its device, as a model's description has them; 0: it has none."""
    workers = (worker for version in described for worker in version.get("workers", ()))
    return next((int(each.get("gpuMemory", 0)) for each in workers if each.get("pid") == pid), 0)


def apart(told: float, real: float) -> float:
    """Return how far a number is from the real one, as a share of that."""
    if not real:
        return 0.0 if not told else float("inf")
    return abs(told - real) / real


def with_context(processes: Iterable[int], holders: Iterable[int]) -> list[int]:
    """Return which processes are among those that have a context."""
    return sorted(set(processes) & set(holders))
