"""The file with a server's process id, by which launchers find the running server."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from modelserver.language.attributes import frozen

NAME = ".model_server.pid"
_LARGEST = 64


class PidFileUnsafe(Exception):
    """The file was not written by a server of this user; the text says why it is left alone."""


@frozen
class PidFile:
    """
    The file, which lies where everybody may write: it is never written through, and trusted no further than
    its owner.
    """

    path: Path

    def read(self) -> int | None:
        """
        Return the process id, 0 for a file without one, or None where there is no file.

        :raises PidFileUnsafe: the file is a link, not a plain file, or of another user.
        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as why:
            raise PidFileUnsafe(f"{self.path} is a link or cannot be opened; remove it") from why
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise PidFileUnsafe(f"{self.path} is not a plain file; remove it")
            if status.st_uid not in (0, os.geteuid()):
                raise PidFileUnsafe(f"{self.path} belongs to another user; remove it")
            text = os.read(descriptor, _LARGEST).split(b"\n", 1)[0].strip()
        finally:
            os.close(descriptor)
        return int(text) if text.isdigit() and len(text) < 10 else 0

    def claim(self, pid: int) -> bool:
        """Create the file with a process id; return False if there is a file already."""
        unfinished = self._write(pid)
        try:
            os.link(unfinished, self.path, follow_symlinks=False)
        except FileExistsError:
            return False
        finally:
            os.unlink(unfinished)
        return True

    def replace(self, pid: int) -> None:
        """Replace the process id in the file."""
        os.replace(self._write(pid), self.path)

    def _write(self, pid: int) -> Path:
        unfinished = self.path.with_name(f"{self.path.name}.{secrets.token_hex(8)}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(unfinished, flags, 0o644), "w", encoding="ascii") as file:
            file.write(f"{pid}\n")
        return unfinished

    def remove(self) -> None:
        """Remove the file, whatever it holds."""
        with suppress(FileNotFoundError):
            self.path.unlink()

    def remove_if(self, pid: int) -> None:
        """Remove the file if it holds this process id."""
        with suppress(PidFileUnsafe):
            if self.read() == pid:
                self.remove()
