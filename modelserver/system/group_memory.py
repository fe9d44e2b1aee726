"""The memory that the control groups of this process allow, and what they have in use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from modelserver.language.attributes import frozen
from modelserver.system.cgroups import Membership, groups_mount, memberships

_AT_THE_TOP = (Membership((), Path()), Membership(("memory",), Path()))
_UNLIMITED = 1 << 60
"""From here on a limit of version 1 says that there is none."""


@frozen
class GroupMemory:
    """Bytes that a control group may have, and has."""

    limit: int
    used: int


def group_memory(root: Path = Path("/")) -> GroupMemory | None:
    """
    Return the tightest limit of this process's control groups, or None without one. Blocks for a moment.

    :param root: where the kernel's file systems are mounted.
    """
    groups = *_AT_THE_TOP, *memberships(root)
    found = [each for group in groups for each in _limits(groups_mount(root), group)]
    return min(found, key=lambda each: each.limit - each.used, default=None)


def _limits(mount: Path, group: Membership) -> Iterator[GroupMemory]:
    """Yield the limits of a group, and of those that it is in."""
    for path in (group.path, *group.path.parents):
        limit = used = None
        if not group.controllers:
            limit, used = _number(mount / path / "memory.max"), _number(mount / path / "memory.current")
        elif "memory" in group.controllers:
            folder = mount / "memory" / path
            limit = _number(folder / "memory.limit_in_bytes")
            used = _number(folder / "memory.usage_in_bytes")
        if limit is not None and used is not None and limit < _UNLIMITED:
            yield GroupMemory(limit, used)


def _number(path: Path) -> int | None:
    """Return the number in a file of the kernel; None: there is no such file, or it says ``max``."""
    try:
        text = path.read_text("ascii").strip()
    except (OSError, ValueError):
        return None
    return int(text) if text.isdigit() else None
