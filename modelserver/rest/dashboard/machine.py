"""The machine as the page shows it: the last sample, and what control groups and disks leave."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shutil import disk_usage

from modelserver.language.attributes import frozen
from modelserver.metrics.figures import Figures
from modelserver.system.cpus import processor_share, usable_processors
from modelserver.system.group_memory import GroupMemory, group_memory


@frozen
class DiskSpace:
    """Bytes of the disk that a folder is on, and how many are free."""

    folder: str
    total: int
    free: int


@frozen
class MachineLimits:
    """
    What this process may have of the machine.

    :param processors: processors that it may run on.
    :param share: processors that its control groups can keep busy; infinite without a limit.
    :param memory: of its control groups, None without a limit.
    """

    processors: int
    share: float
    memory: GroupMemory | None
    disks: Sequence[DiskSpace]


def look_at_limits(folders: Sequence[Path]) -> MachineLimits:
    """Return what this process may have now. Blocks: it asks the file system about each folder."""
    disks = []
    for folder in folders:
        try:
            total, _, free = disk_usage(folder)
        except OSError:  # it may not be there yet
            continue
        disks.append(DiskSpace(str(folder), total, free))
    return MachineLimits(usable_processors(), processor_share(), group_memory(), disks)


def machine(figures: Figures, limits: MachineLimits | None) -> dict[str, object]:
    """Return what the page shows of the machine; GPUs are known by their numbers."""
    gpus: dict[str, dict[str, float]] = {}
    values = {}
    for each in figures.host:
        if each.device is None:
            values[each.name] = each.value
        else:
            gpus.setdefault(str(each.device), {})[each.name] = each.value
    aside = {str(gpu): reason for gpu, reason in figures.aside.items() if reason is not None}
    shown: dict[str, object] = {"sampled": figures.host_at, "values": values, "gpus": gpus, "aside": aside}
    if limits is not None:
        shown["processors"] = limits.processors
        shown["share"] = limits.share if limits.share <= limits.processors else None
        memory = limits.memory
        shown["group"] = None if memory is None else {"limit": memory.limit, "used": memory.used}
        shown["disks"] = [[disk.folder, disk.total, disk.free] for disk in limits.disks]
    return shown
