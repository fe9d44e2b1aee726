"""What is known of a GPU: its names, its load, and who has its memory."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field

from modelserver.language.attributes import frozen

Bank = int | None
"""Whose memory: this machine's (``HOST``), or that of a GPU, by its number."""
HOST: Bank = None


def is_part(uuid: str) -> bool:
    """Whether the driver's name of a device is that of a MIG instance."""
    return uuid.startswith("MIG-")


@frozen
class Gpu:
    """
    One device as handlers name it.

    :param id: its index among the visible ones.
    :param uuid: the driver's name of it: ``GPU-...``, or ``MIG-...`` for a part of one; empty where unknown.
    :param word: what ``CUDA_VISIBLE_DEVICES`` calls it, whatever is visible to the server.
    """

    id: int
    name: str = ""
    uuid: str = ""
    word: str = ""

    @property
    def is_part(self) -> bool:
        """Whether it is a MIG instance: a process sees it by its UUID alone, as its device 0."""
        return is_part(self.uuid)


@frozen
class GpuUsage:
    """
    A device's load, in percent and bytes.

    :param memory_total: bytes that the device has; 0 where the driver does not tell.
    :param processes: bytes of the device's memory by process id, of those that the driver can tell apart: in
        a container the ids are the host's, and lead nowhere.
    """

    utilization: float
    memory_utilization: float
    memory_used: int
    memory_total: int = 0
    processes: Mapping[int, int] = field(factory=dict)


@frozen
class GpuMemory:
    """
    What one worker has of its GPUs' memory, in bytes; None is what nobody tells.

    :param allocated: its tensors.
    :param reserved: what its torch has taken from the driver, for tensors of now and later.
    :param peak: the most that its tensors have been.
    :param driver: all that its process has, as the driver says.
    """

    allocated: int | None = None
    reserved: int | None = None
    peak: int | None = None
    driver: int | None = None

    @property
    def used(self) -> int | None:
        """What it takes from others: what the driver says, or else what the worker itself knows of."""
        return self.reserved if self.driver is None else self.driver

    @property
    def other(self) -> int | None:
        """What its process has beside torch's: CUDA's own part, and what other libraries have."""
        if self.driver is None or self.reserved is None:
            return None
        return max(0, self.driver - self.reserved)

    def __add__(self, more: GpuMemory) -> GpuMemory:
        """Return what two processes have together, as they tell it."""
        return GpuMemory(
            _sum(self.allocated, more.allocated),
            _sum(self.reserved, more.reserved),
            _sum(self.peak, more.peak),
        )


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other
