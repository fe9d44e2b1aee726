"""How many bytes a model has on disk: its workers are expected to take as much until one was measured."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def archive_size(path: Path) -> int:
    """Return the bytes of an archive, or of the files of a folder; 0 where that cannot be read. Blocks."""
    try:
        status = os.stat(path)
        if not stat.S_ISDIR(status.st_mode):
            return status.st_size
    except OSError:
        return 0
    return sum(_size(os.path.join(folder, name)) for folder, _, names in os.walk(path) for name in names)


def _size(path: str) -> int:
    """Return the size of a plain file, also behind a link, as weights are often kept."""
    try:
        status = os.stat(path)
    except OSError:
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else 0
