"""
The folders of a running server below the one for temporary files, and what killed servers have left there.

A server has ``modelserver-TOKEN``, which it holds locked for as long as it lives. Archives are unpacked to
``models/TOKEN...``, where TorchServe and MMS unpack theirs and handlers look for them. The kernel drops the
lock of a server that dies, however it dies: what bears a token without a lock belongs to nobody.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import stat
import tempfile
from pathlib import Path

from modelserver.language.attributes import frozen

_NAME = re.compile(r"modelserver-([0-9a-f]{16})")
_MODELS = "models"
_OWN = 0o700
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@frozen
class RunFolders:
    """
    What one server has taken; it owes ``give_back``.

    :param private: the folder that says that the server lives.
    :param models: where archives are unpacked, each to a folder whose name begins with the token.
    :param token: 16 hexadecimal digits.
    """

    private: Path
    models: Path
    token: str
    _lock: int
    _shared: int | None

    @classmethod
    def take(cls, parent: Path | None = None) -> RunFolders:
        """
        Make and lock the folders. Blocks.

        :param parent: the folder for temporary files, or None for the system's.
        :raises OSError: the system refuses it.
        """
        parent = Path(tempfile.gettempdir()) if parent is None else parent
        private, lock = _take_private(parent)
        try:
            shared = _take_models(parent / _MODELS)
        except BaseException:
            shutil.rmtree(private, ignore_errors=True)
            os.close(lock)
            raise
        models = private if shared is None else parent / _MODELS
        return cls(private, models, private.name.partition("-")[2], lock, shared)

    @property
    def is_usual(self) -> bool:
        """Return whether archives are where the peers have them; else that folder is not ours alone."""
        return self._shared is not None

    def give_back(self) -> None:
        """Remove everything, and ``models`` too if no other server uses it. Blocks."""
        _remove_of(self.token, self.models)
        if self._shared is not None:
            if _is_locked(self._shared, fcntl.LOCK_EX):
                _remove_empty(self.models)
            os.close(self._shared)
        shutil.rmtree(self.private, ignore_errors=True)
        os.close(self._lock)


def sweep_folders(parent: Path | None = None) -> list[Path]:
    """
    Remove what servers that were killed have left. Blocks.

    :param parent: the folder for temporary files, or None for the system's.
    :return: the folders that were removed.
    """
    parent = Path(tempfile.gettempdir()) if parent is None else parent
    swept = []
    for path in sorted(parent.glob("modelserver-*")):
        found = _NAME.fullmatch(path.name)
        lock = None if found is None else _open_own(path)
        if found is None or lock is None:
            continue
        try:
            if _is_locked(lock, fcntl.LOCK_EX) and _is_at(lock, path):
                swept += _remove_of(found[1], parent / _MODELS)
                shutil.rmtree(path, ignore_errors=True)
                swept.append(path)
        finally:
            os.close(lock)
    return swept


def _take_private(parent: Path) -> tuple[Path, int]:
    while True:
        path = parent / f"modelserver-{secrets.token_hex(8)}"
        path.mkdir(mode=_OWN)
        try:
            lock = os.open(path, _OPEN)
        except FileNotFoundError:  # swept before it was locked
            continue
        if (_is_locked(lock, fcntl.LOCK_EX) or not _has_locks(lock)) and _is_at(lock, path):
            return path, lock
        os.close(lock)


def _take_models(path: Path) -> int | None:
    """Return a descriptor that keeps the common folder, or None where somebody else could write into it."""
    while True:
        try:
            path.mkdir(mode=_OWN)
        except FileExistsError:
            pass
        lock = _open_own(path)
        if lock is None and path.exists():
            return None
        if lock is None:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_SH)  # waits only while a server that ends removes the folder
        except OSError:  # no locks on this file system: the folder stays
            return lock
        if _is_at(lock, path):
            return lock
        os.close(lock)


def _open_own(path: Path) -> int | None:
    """Open a folder that is this user's, and that nobody else can write into."""
    try:
        descriptor = os.open(path, _OPEN)
    except OSError:
        return None
    status = os.fstat(descriptor)
    if status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return descriptor
    os.close(descriptor)
    return None


def _is_locked(descriptor: int, kind: int) -> bool:
    """Lock without waiting; return whether that is done."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _has_locks(descriptor: int) -> bool:
    """Return whether the file system knows locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Return whether a folder that was opened is still the one of this name."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False


def _remove_of(token: str, models: Path) -> list[Path]:
    """Remove what bears a token: folders of models, and hidden ones that were half unpacked."""
    found = [*models.glob(f"{token}*"), *models.glob(f".{token}*")]
    for path in found:
        shutil.rmtree(path, ignore_errors=True)
    return found


def _remove_empty(path: Path) -> None:
    try:
        path.rmdir()
    except OSError:  # something is in it that is not ours
        pass
