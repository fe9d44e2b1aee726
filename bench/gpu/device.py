"""What the vendor's library says of the first GPU, for comparison with what the server says."""

from __future__ import annotations

import re
from collections.abc import Iterable
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

    def pids(self) -> frozenset[int]:
        """Processes that have a context; in a container the ids may be those of the host."""
        return frozenset(
            int(each.pid) for each in self.library.nvmlDeviceGetComputeRunningProcesses(self._handle)
        )


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def bare_uuid(text: str) -> str:
    """Return a UUID without the ``GPU-`` that the driver puts before it, and torch does not."""
    return text.removeprefix("GPU-").lower()


def told_bytes(metrics: str) -> dict[int, int]:
    """Return the bytes in use by device, as the text of ``/metrics`` has them."""
    return {int(gpu): int(float(value)) for gpu, value in _GAUGE.findall(metrics)}


def apart(told: float, real: float) -> float:
    """Return how far a number is from the real one, as a share of that."""
    if not real:
        return 0.0 if not told else float("inf")
    return abs(told - real) / real


def with_context(processes: Iterable[int], holders: Iterable[int]) -> list[int]:
    """Return which processes are among those that have a context."""
    return sorted(set(processes) & set(holders))
