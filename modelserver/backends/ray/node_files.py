"""The files of models on a node: fetched once by their content's hash, checked, kept while there is room."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

from attrs import field

from modelserver.language.attributes import define

_DIGEST = re.compile(r"[0-9a-f]{64}")
_UNPACKING = "unpacking-"
"""Before the digest, in the name of a folder that is not whole yet."""
_LARGEST_PROBE = 4096


class FilesInvalid(Exception):
    """What came is not what was announced."""


@define(eq=False)
class FileCache:
    """
    The folders of models below ``folder``, each named by the SHA-256 of what it was unpacked from.

    A lock beside each is held shared by every agent that uses it, and alone by the one that fetches or
    removes it; the kernel drops the locks of an agent that dies.

    :param limit: bytes of the folders together, those in use not counted out.
    """

    folder: Path
    limit: int
    _locks: dict[str, int] = field(factory=dict, init=False)

    def find(self, digest: str) -> Path | None:
        """
        Return the folder of a model, which stays until this process ends; None if it is not here now.

        :raises FilesInvalid: this is no digest.
        :raises OSError: the cache cannot be used.
        """
        lock, path = self._lock_of(digest), self.folder / digest
        if not _try(lock, fcntl.LOCK_SH):
            return None
        if path.is_dir():
            os.utime(path)
            return path
        fcntl.flock(lock, fcntl.LOCK_UN)
        return None

    def begin(self, digest: str, size: int) -> Fetch | None:
        """
        Return what takes the files; None while another agent fetches them.

        :raises OSError: the cache cannot be used.
        """
        lock = self._lock_of(digest)
        if not _try(lock, fcntl.LOCK_EX):
            return None
        if (self.folder / digest).is_dir():  # it has come since somebody looked
            self.give_up(digest)
            return None
        # What an agent has left that died over it.
        shutil.rmtree(self.folder / f"{_UNPACKING}{digest}", ignore_errors=True)
        self._make_room(digest, size)
        return Fetch(self.folder, digest, size)

    def give_up(self, digest: str) -> None:
        """Let another agent fetch what this one could not."""
        fcntl.flock(self._lock_of(digest), fcntl.LOCK_UN)

    def _lock_of(self, digest: str) -> int:
        if not _DIGEST.fullmatch(digest):
            raise FilesInvalid("no digest")
        if digest not in self._locks:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.folder.stat().st_uid != os.getuid():
                raise PermissionError(f"{self.folder} is another user's")
            self._locks[digest] = _open_lock(self.folder, digest)
        return self._locks[digest]

    def _make_room(self, wanted: str, size: int) -> None:
        """Remove those that were used longest ago and are not in use, until the new one fits."""
        found = {path: path.name.removeprefix(_UNPACKING) for path in self.folder.iterdir()}
        kept = [path for path, name in found.items() if _DIGEST.fullmatch(name) and name != wanted]
        kept.sort(key=_used_at)
        sizes = {path: _size_of(path) for path in kept}
        total = sum(sizes.values()) + size
        for path in kept:
            if total <= self.limit:
                return
            # One that is being unpacked is in use; what a dead agent has left of one is not.
            lock = _open_lock(self.folder, found[path])
            if _try(lock, fcntl.LOCK_EX):
                shutil.rmtree(path, ignore_errors=True)
                total -= sizes[path]
            os.close(lock)


def _used_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0  # another agent makes room, too


def _open_lock(folder: Path, digest: str) -> int:
    return os.open(folder / f"{digest}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _try(lock: int, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _size_of(folder: Path) -> int:
    """Return the bytes of the files below a folder, which another agent may remove meanwhile."""
    size = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                size += os.lstat(os.path.join(root, name)).st_size
            except OSError:
                continue
    return size


class Fetch:
    """Takes the files of one model as they come; the cache's lock is held meanwhile."""

    def __init__(self, folder: Path, digest: str, size: int) -> None:
        self._folder, self._digest, self._left = folder, digest, size
        self._hash = hashlib.sha256()
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # finish closes it, or give_up

    def take(self, piece: memoryview) -> None:
        """
        Take the next piece.

        :raises FilesInvalid: there is more than was announced.
        :raises OSError: the disk is full, say.
        """
        self._left -= len(piece)
        if self._left < 0:
            raise FilesInvalid("more files than were announced")
        self._hash.update(piece)
        self._file.write(piece)

    def finish(self) -> None:
        """
        Unpack what came to its place. Blocks.

        :raises FilesInvalid: it is not what was announced.
        :raises OSError: the disk is full, say.
        """
        with self._file:
            if self._left or self._hash.hexdigest() != self._digest:
                raise FilesInvalid("the model's files came with another hash than was announced")
            self._file.seek(0)
            fresh = self._folder / f"{_UNPACKING}{self._digest}"
            fresh.mkdir(mode=0o700)
            try:
                with tarfile.open(fileobj=self._file) as packed:
                    for member in packed:
                        _unpack(packed, member, fresh)
                fresh.rename(self._folder / self._digest)
            except tarfile.TarError as error:
                raise FilesInvalid(f"the model's files cannot be unpacked: {error}") from error
            finally:
                shutil.rmtree(fresh, ignore_errors=True)

    def give_up(self) -> None:
        """Keep nothing of it."""
        self._file.close()


def _unpack(packed: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """
    Write one member below ``folder``.

    :raises FilesInvalid: it is neither a file nor a folder, or leads elsewhere.
    """
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        raise FilesInvalid(f"a file outside of the model's folder: {member.name}")
    path = folder / name
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        return
    source = packed.extractfile(member) if member.isreg() else None
    if source is None:
        raise FilesInvalid(f"neither a file nor a folder: {member.name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with source, path.open("xb") as target:
        shutil.copyfileobj(source, target)
    path.chmod(0o755 if member.mode & 0o100 else 0o644)


def is_shared(path: str, digest: str) -> bool:
    """Return whether a file of the server can be seen here: its folders can be used as they are."""
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read(_LARGEST_PROBE)).hexdigest() == digest
    except OSError:
        return False
