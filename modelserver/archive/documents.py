"""The small documents of an archive, read within limits of bytes and depth."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

LARGEST = 1024 * 1024
DEEPEST = 64
"""How deep lists and mappings may be nested."""
MOST_NODES = 100_000
"""How many nodes a YAML document may have once its aliases are written out."""


class TooDeep(ValueError):
    """The document is nested deeper than ``DEEPEST``."""

    def __str__(self) -> str:
        return "it is nested too deeply"


def read_bounded(path: Path, largest: int = LARGEST) -> str:
    """
    Read a text file of at most ``largest`` bytes.

    :raises OSError: the file cannot be read.
    :raises ValueError: the path is no plain file, or the file is too large or not UTF-8.
    """
    # O_NONBLOCK: a FIFO in a folder of the model store may not hold the thread.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise ValueError("it is not a plain file")
        content = stream.read(largest + 1)
    if len(content) > largest:
        raise ValueError(f"it is larger than {largest} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as why:
        raise ValueError("it is not UTF-8") from why


def check_depth(document: object, deepest: int = DEEPEST) -> None:
    """
    Check how deep lists and mappings are nested.

    :raises TooDeep: the document is deeper than ``deepest``.
    """
    level = [document]
    for _ in range(deepest):
        level = [child for node in level for child in _children(node)]
    if any(isinstance(node, (Mapping, list)) for node in level):
        raise TooDeep


def _children(node: object) -> list[object]:
    if isinstance(node, Mapping):
        return list(node.values())
    return list(node) if isinstance(node, list) else []
