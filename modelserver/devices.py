"""What is known of a GPU: its names, its load, and who has its memory."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen


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
