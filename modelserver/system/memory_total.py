"""How much memory this server may share out: that of the machine, or of its control group."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from modelserver.language.attributes import frozen
from modelserver.system.group_memory import group_memory


class MemoryUnreadable(Exception):
    """Nothing tells how much memory there is; the text says why."""


@frozen
class MemoryAmount:
    """
    An amount of memory: bytes, or a share of what there is; neither: no limit.

    :param share: from 0 to 1.
    """

    size: int = 0
    share: float = 0.0

    def __bool__(self) -> bool:
        return self.size > 0 or self.share > 0

    def __str__(self) -> str:
        return f"{self.share * 100:g}%" if self.share else str(self.size)

    def bytes_of(self, total: Callable[[], int]) -> int:
        """
        Return the bytes; ``total`` is asked only where that is needed.

        :raises MemoryUnreadable: ``total`` cannot tell.
        """
        return round(self.share * total()) if self.share else self.size


def memory_total(root: Path = Path("/")) -> int:
    """
    Return the bytes that the control groups of this process allow, or that the machine has. Blocks shortly.

    :param root: where the kernel's file systems are mounted.
    :raises MemoryUnreadable: neither can be read.
    """
    import psutil  # only where a share of what there is was asked for

    try:
        total = int(psutil.virtual_memory().total)
    except (OSError, psutil.Error, ValueError, KeyError) as error:
        raise MemoryUnreadable(str(error)) from error
    group = group_memory(root)
    return total if group is None else min(total, group.limit)
