"""The control groups that this process is in (Linux, both versions)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from modelserver.language.attributes import frozen

_MOUNT = Path("sys", "fs", "cgroup")


@frozen
class Membership:
    """
    One line of ``/proc/self/cgroup``.

    :param controllers: the controllers of version 1; empty for the group of version 2.
    :param path: the path of the group, below the mount point of its hierarchy.
    """

    controllers: tuple[str, ...]
    path: Path


def groups_mount(root: Path) -> Path:
    """Return where the hierarchies are mounted, below ``root``, where the kernel's file systems are."""
    return root / _MOUNT


def memberships(root: Path) -> Iterator[Membership]:
    """Return the groups of this process; in a container, their paths are often those outside of it."""
    try:
        lines = (root / "proc" / "self" / "cgroup").read_text("utf-8", "replace").splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if path:
            yield Membership(tuple(filter(None, controllers.split(","))), Path(path.lstrip("/")))
