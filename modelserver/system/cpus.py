"""How many processors this process may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from math import ceil, inf
from pathlib import Path

from modelserver.system.cgroups import Membership, groups_mount, memberships

_AT_THE_TOP = Membership(("cpu",), Path()), Membership((), Path())
"""In a container the path is often the one outside of it, and its group is mounted at the top."""


def usable_processors() -> int:
    """
    Return how many processors this process may run on, or the share of its control groups if that is less.

    The same number as a Java virtual machine finds: a container with two of 64 processors has two.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = processor_share()
    return usable if share >= usable else max(1, ceil(share))


def processor_share(root: Path = Path("/")) -> float:
    """
    Return how many processors the control groups of this process can keep busy; infinite without a limit.

    :param root: where the kernel's file systems are mounted.
    """
    groups = *_AT_THE_TOP, *memberships(root)
    return min((share for group in groups for share in _shares(groups_mount(root), group)), default=inf)


def _shares(mount: Path, group: Membership) -> Iterator[float]:
    """The limits of a group, and of those that it is in."""
    for path in (group.path, *group.path.parents):
        quota: list[str] = []
        if not group.controllers:
            quota = _words(mount / path / "cpu.max")
        elif "cpu" in group.controllers:
            folder = mount / "cpu" / path
            quota = _words(folder / "cpu.cfs_quota_us") + _words(folder / "cpu.cfs_period_us")
        # Without a limit, the quota is "max" or -1.
        if len(quota) == 2 and all(word.isdigit() and int(word) for word in quota):
            yield int(quota[0]) / int(quota[1])


def _words(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8", "replace").split()
    except OSError:
        return []
