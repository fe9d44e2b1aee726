"""How many processors this process may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from math import ceil, inf
from pathlib import Path, PurePosixPath

_WITHOUT_GROUPS = "1:cpu:/", "0::/"
"""In a container the path is often the one outside of it, and its group is mounted at the top."""


def usable_processors() -> int:
    """
    The processors that this process may run on, or the share that its control groups have, if that is less.

    The same number as a Java virtual machine finds: a container with two of 64 processors has two.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = processor_share()
    return usable if share >= usable else max(1, ceil(share))


def processor_share(root: Path = Path("/")) -> float:
    """
    How many processors the control groups around this process can keep busy; infinite without a limit.

    :param root: where the kernel's file systems are mounted; another one in tests.
    """
    lines = *_WITHOUT_GROUPS, *_words(root / "proc" / "self" / "cgroup", "\n")
    return min(
        (share for line in lines for share in _shares(root / "sys" / "fs" / "cgroup", line)), default=inf
    )


def _shares(groups: Path, line: str) -> Iterator[float]:
    """The limits of one line of ``/proc/self/cgroup``: of that group, and of those that it is in."""
    _, _, rest = line.partition(":")
    controllers, _, path = rest.partition(":")
    group = PurePosixPath("/" + path.lstrip("/"))
    for each in (group, *group.parents):
        below = str(each).lstrip("/")
        quota: list[str] = []
        if not controllers and path:
            quota = _words(groups / below / "cpu.max")
        elif "cpu" in controllers.split(","):
            folder = groups / "cpu" / below
            quota = _words(folder / "cpu.cfs_quota_us") + _words(folder / "cpu.cfs_period_us")
        # Without a limit, the quota is "max" or -1.
        if len(quota) == 2 and all(word.isdigit() and int(word) for word in quota):
            yield int(quota[0]) / int(quota[1])


def _words(path: Path, separator: str | None = None) -> list[str]:
    try:
        return path.read_text("utf-8", "replace").split(separator)
    except OSError:
        return []
