"""What the readers of containers give: entries, each with its content as pieces, and why they stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

PIECE = 128 * 1024
"""How many bytes a reader gives at once, at most."""

Spend = Callable[[int], None]
"""Told of every decompressed byte before the next one; raises ``Refused`` when it is too much."""


_LONGEST_SHOWN = 80


class Refused(Exception):
    """The container breaks a rule; the text says which, without the archive's name."""


class Entry(NamedTuple):
    """
    One file or folder of a container.

    :param name: as it stands in the container, not checked.
    :param is_executable: its owner may run it.
    :param content: the file's bytes; to be exhausted before the next entry is asked for. Empty for a folder.
    """

    name: str
    is_folder: bool
    is_executable: bool
    content: Iterator[bytes]


def shown(name: str) -> str:
    """Render an entry's name for a message: quoted, on one line, not too long."""
    return repr(name if len(name) <= _LONGEST_SHOWN else name[:_LONGEST_SHOWN] + "...")
