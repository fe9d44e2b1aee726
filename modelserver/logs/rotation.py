"""Log files: renamed when they are full or of another day, then compressed, and deleted in the end."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from pathlib import Path

from attrs import field
from twisted.logger import Logger

from modelserver.interfaces import InThread
from modelserver.language.attributes import define, frozen

LOOK_EVERY = 1.0
"""Seconds between two looks whether a file still has its name: ``logrotate`` may have renamed it."""

_log = Logger()


@frozen
class Rotation:
    """
    When a file is renamed, and what becomes of old files.

    :param largest: the bytes that a file may have.
    :param kept: how many old files stay.
    :param in_thread: runs the compression of old files; None: they are not compressed.
    """

    largest: int = 100 * 1024 * 1024
    kept: int = 5
    in_thread: InThread | None = None


@define(eq=False)
class RotatingFile:
    """
    Appends to a file, and never raises: a full disk costs log lines, not requests.

    A file that would grow too large, or was last written on another day, is renamed to
    ``<name>.<day>-<month>.log``, with a number where that exists. One that somebody else has renamed or
    removed is made anew.

    :param now: seconds since the epoch.
    """

    path: Path
    now: Callable[[], float]
    rotation: Rotation = Rotation()
    _file: FileIO | None = field(default=None, init=False)
    _size: int = field(default=0, init=False)
    _written: float = field(default=0.0, init=False)
    _looked: float = field(default=0.0, init=False)
    _is_failing: bool = field(default=False, init=False)

    def write(self, text: str) -> None:
        """Append whole lines."""
        data = text.encode("utf-8", "backslashreplace")
        try:
            self._append(data)
        except OSError as error:
            self._failed(error)
        else:
            self._is_failing = False

    def open(self) -> None:
        """Create the file, if it is not there."""
        try:
            if self._file is None:
                self._open()
        except OSError as error:
            self._failed(error)

    def close(self) -> None:
        """Close the file; a later ``write`` opens it again."""
        with suppress(OSError):
            self._close()

    def _failed(self, error: OSError) -> None:
        self.close()
        if not self._is_failing:
            self._is_failing = True
            _log.error("{path} cannot be written: {reason}", path=str(self.path), reason=error.strerror)

    def _append(self, data: bytes) -> None:
        now = self.now()
        file = self._file
        if file is None or not self._is_at_its_place(file, now):
            file = self._open()
        if self._size and (self._size + len(data) > self.rotation.largest or not self._is_of(now)):
            file = self._put_aside()
        self._written = now
        left = memoryview(data)
        while left:
            written = file.write(left) or 0
            self._size += written
            left = left[written:]

    def _is_at_its_place(self, file: FileIO, now: float) -> bool:
        """Look, once in a second; a file that is not is closed."""
        if abs(now - self._looked) < LOOK_EVERY:
            return True
        self._looked = now
        try:
            if os.path.samestat(os.fstat(file.fileno()), self.path.stat()):
                return True
        except FileNotFoundError:
            pass
        except OSError:  # it may not be looked at; it may be written all the same
            return True
        self._close()
        return False

    def _open(self) -> FileIO:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = file = FileIO(self.path, "ab")
        self._looked = self.now()
        self._size = file.tell()
        self._written = self.path.stat().st_mtime
        return file

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _is_of(self, now: float) -> bool:
        return time.localtime(now)[:3] == time.localtime(self._written)[:3]

    def _put_aside(self) -> FileIO:
        self._close()
        aside = self._free_name(time.strftime("%d-%b", time.localtime(self._written)))
        self.path.rename(aside)
        if self.rotation.in_thread is None:
            remove_old(self.path, self.rotation.kept)
        else:
            self.rotation.in_thread(_pack, self.path, aside, self.rotation.kept).addErrback(
                lambda failure: _log.failure("{path} was not compressed", failure, path=str(aside))
            )
        return self._open()

    def _free_name(self, day: str) -> Path:
        number = 0
        while True:
            suffix = f".{number}" if number else ""
            aside = self.path.with_name(f"{self.path.stem}.{day}{suffix}.log")
            if not aside.exists() and not _packed(aside).exists():
                return aside
            number += 1


def _packed(aside: Path) -> Path:
    return aside.with_name(f"{aside.name}.gz")


def _pack(path: Path, aside: Path, kept: int) -> None:
    part = aside.with_name(f"{aside.name}.part")
    try:
        with aside.open("rb") as plain, gzip.open(part, "wb", compresslevel=6) as packed:
            shutil.copyfileobj(plain, packed, 1 << 20)
        shutil.copystat(aside, part)
        part.rename(_packed(aside))
        aside.unlink()
    finally:
        part.unlink(missing_ok=True)
    remove_old(path, kept)


def remove_old(path: Path, kept: int) -> None:
    """Delete the old files of ``path``, but for the newest ``kept``."""
    name = re.compile(rf"{re.escape(path.stem)}\.\d\d-\w{{3}}(\.\d+)?\.log(\.gz)?")
    aside = [each for each in path.parent.iterdir() if name.fullmatch(each.name)]
    for old in sorted(aside, key=lambda each: each.stat().st_mtime_ns, reverse=True)[kept:]:
        old.unlink(missing_ok=True)
