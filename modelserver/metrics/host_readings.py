"""The last values of the machine, whoever has sampled them."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import field

from modelserver.language.attributes import define
from modelserver.metrics.command_sampler import Reported
from modelserver.metrics.host_sampler import HostValue

_OF_HOST = frozenset(
    (
        *("CPUUtilization", "MemoryUsed", "MemoryAvailable", "MemoryUtilization"),
        *("DiskUsage", "DiskAvailable", "DiskUtilization"),
    )
)
_OF_GPU = frozenset(("GPUMemoryUtilization", "GPUMemoryUsed", "GPUUtilization"))
MOST_DEVICES = 1024
"""GPUs above this number are made up."""


@define(eq=False)
class HostReadings:
    """
    Keeps the last value of each metric of the machine.

    :param at: when the newest came, in seconds since the epoch; 0: there is none.
    """

    at: float = field(default=0.0, init=False)
    _values: dict[tuple[str, int | None], HostValue] = field(factory=dict, init=False)

    def keep(self, value: HostValue, now: float) -> None:
        """Take a value of the server's own sampler."""
        self.at = now
        self._values[value.name, value.device] = value

    def keep_reported(self, value: Reported, now: float) -> None:
        """Take a value of the operator's sampler, if it is one of the machine's."""
        device = value.dimensions[-1] if value.dimensions else ""
        if value.name in _OF_HOST:
            self.keep(HostValue(value.name, value.value), now)
        elif value.name in _OF_GPU and device.isdecimal() and int(device[:5]) < MOST_DEVICES:
            self.keep(HostValue(value.name, value.value, int(device[:5])), now)

    def values(self) -> Sequence[HostValue]:
        """Return the last values."""
        return tuple(self._values.values())
