"""A file that is written under a hidden name, and renamed when it is complete."""

from __future__ import annotations

import fcntl
import os
import re
import stat
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from attrs import field
from twisted.logger import Logger

from modelserver.language.attributes import define

_log = Logger()
_HIDDEN = re.compile(r"\..+\.[0-9a-f]{8}\.part", re.DOTALL)


@define(eq=False)
class PartFile:
    """
    A download on disk. Every method blocks, and may run in any thread, in any order.

    After ``discard`` nothing of it is left and nothing comes back, even if a thread is late with a write.

    :param target: the final path.
    :param token: distinguishes the hidden names of two downloads.
    """

    target: Path
    token: str
    _file: BinaryIO | None = field(default=None, init=False)
    _published: bool = field(default=False, init=False)
    _discarded: bool = field(default=False, init=False)
    _lock: Lock = field(factory=Lock, init=False)

    @property
    def path(self) -> Path:
        """Return the hidden name, in the folder of the target."""
        return self.target.with_name(f".{self.target.name}.{self.token}.part")

    def open(self) -> None:
        """
        Create the file.

        :raises FileExistsError: the target is there already.
        """
        with self._lock:
            if not self._discarded:
                if os.path.lexists(self.target):
                    raise FileExistsError(self.target)
                self._file = self.path.open("xb")
                # For as long as somebody writes it, ``sweep`` of no server on this machine takes it away.
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def write(self, data: bytes) -> None:
        """Append a piece."""
        with self._lock:
            if self._file is not None:
                self._file.write(data)

    def publish(self) -> None:
        """
        Give the file its name.

        :raises FileExistsError: another file has the name by now.
        """
        with self._lock:
            if self._file is None:
                return
            self._file.close()
            self._file = None
            _rename(self.path, self.target)
            self._published = True

    def discard(self) -> None:
        """Remove the file, published or not."""
        with self._lock:
            self._discarded = True
            if self._file is not None:
                self._file.close()
                self._file = None
            for path in (self.path, *([self.target] if self._published else [])):
                try:
                    path.unlink(missing_ok=True)
                except OSError:  # a store that cannot be written to any more: the first reason counts
                    _log.warn("{path} stays on disk", path=str(path))


def sweep(folder: Path) -> list[Path]:
    """
    Remove what downloads of servers that were killed have left in a folder. Blocks.

    :return: the files that were removed; files that a process still writes stay.
    :raises OSError: the folder cannot be read.
    """
    return [path for path in folder.iterdir() if _HIDDEN.fullmatch(path.name) and _sweep(path)]


def _sweep(path: Path) -> bool:
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return False
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
    except OSError:  # it is in use, or not ours
        return False
    return True


def _rename(path: Path, target: Path) -> None:
    """Rename without replacing anything, where the file system can."""
    try:
        os.link(path, target)
    except FileExistsError:
        raise
    except OSError:  # no hard links here
        if os.path.lexists(target):
            raise FileExistsError(target) from None
        path.replace(target)
    else:
        path.unlink()
