"""Unpacks model archives into folders of their own: completely, or not at all."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from attrs import field

from modelserver.archive import tar_entries, zip_entries
from modelserver.archive.entries import Entry, Refused, shown
from modelserver.archive.manifest import LEGACY_MANIFEST, MANIFEST
from modelserver.archive.paths import Places, path_parts
from modelserver.errors import ArchiveInvalid, ArchiveNotFound, InternalError
from modelserver.language.attributes import define, frozen

_FOLDER_MODE = 0o700
_FILE_MODES = {False: 0o600, True: 0o700}
_RATIO_COUNTS_FROM = 100_000_000


@frozen
class UnpackLimits:
    """
    How large an archive may become.

    :param size: bytes that are really written, of all files together.
    :param entries: files and folders, those that only lead to another one included.
    :param ratio: how many bytes one byte of the archive may become; counts from 100 MB on.
    :param path_length: bytes of one path inside the archive.
    """

    size: int = 32 * 1024**3
    entries: int = 100_000
    ratio: int = 1000
    path_length: int = 1024


DEFAULT_LIMITS = UnpackLimits()
Check = Callable[[BinaryIO | None], None]
_DOCUMENTS = (".json", ".yaml", ".yml")
_LARGEST_DOCUMENT = 1 << 20


def open_archive(
    source: Path,
    folder: Path,
    limits: UnpackLimits = DEFAULT_LIMITS,
    looks_inside: bool = True,
    check: Check | None = None,
) -> Path:
    """
    Make a model folder of an archive or of a directory. Blocks: to be run in a thread.

    :param source: an archive file, or the directory of a model, which is used in place.
    :param folder: the folder to make, for this archive alone.
    :param looks_inside: a directory that holds one folder and nothing else stands for that one.
    :param check: raises what is wrong with the open file, or with a directory, for which it gets None.
    :return: the model folder; give it to ``remove`` when the model goes.
    :raises ArchiveInvalid: the archive breaks a rule.
    :raises ArchiveNotFound: there is no such file or directory.
    :raises InternalError: a file cannot be written.
    """
    if source.is_dir():
        if check is not None:
            check(None)
        return link(source, folder, looks_inside)
    if not source.is_file():
        raise ArchiveNotFound(source.name)
    unpack(source, folder, limits, check)
    return folder


def open_documents(
    source: Path, folder: Path, limits: UnpackLimits = DEFAULT_LIMITS, looks_inside: bool = True
) -> Path:
    """
    Make a folder with the files of an archive, of which only the small documents have a content. Blocks.

    What the archive says about its model can be read there as in the whole one, of which a rule may still be
    broken by what is not read. A tar has to be read to its end.

    :return: the folder; give it to ``remove``.
    :raises ArchiveInvalid: the archive breaks a rule.
    :raises ArchiveNotFound: there is no such file or directory.
    :raises InternalError: a file cannot be written.
    """
    if source.is_dir():
        return link(source, folder, looks_inside)
    if not source.is_file():
        raise ArchiveNotFound(source.name)
    unpack(source, folder, limits, has_documents_only=True)
    return folder


def is_document(name: str) -> bool:
    """Return whether ``open_documents`` gives a file of this name its content."""
    return name.lower().endswith(_DOCUMENTS)


def link(folder: Path, target: Path, looks_inside: bool = True) -> Path:
    """
    Use the model in ``folder`` in place, through a symbolic link inside ``target``, which is made.

    :param looks_inside: a folder that holds one folder and nothing else stands for that one.
    :return: the link.
    :raises InternalError: the link cannot be made.
    """
    with _told_of(folder):
        folder = folder.resolve()
        model = (_only_folder(folder) if looks_inside else None) or folder
        target.mkdir(mode=_FOLDER_MODE, parents=True)
        place = target / folder.name
        place.symlink_to(model, target_is_directory=True)
    return place


def unpack(
    archive: Path,
    target: Path,
    limits: UnpackLimits = DEFAULT_LIMITS,
    check: Check | None = None,
    has_documents_only: bool = False,
) -> None:
    """
    Unpack a zip (``.mar``, ``.model``) or a gzip-compressed tar; its content decides, not its name.

    Files are their owner's alone. The target appears at the end, or nothing is left of it.

    :param target: the folder to make; must not exist.
    :param check: raises what is wrong with the open file; the file may not change from then on.
    :param has_documents_only: all other files are left empty.
    :raises ArchiveInvalid: the archive breaks a rule.
    :raises InternalError: a file cannot be written.
    """
    with _told_of(archive), _open(archive) as stream:
        target.parent.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        if target.exists():
            raise FileExistsError(f"{target.name} exists")
        # mkdtemp makes a folder that only its owner can enter.
        staging = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            before = None if check is None else _state(stream)
            if check is not None:
                check(stream)
            is_tar = _fill(stream, staging, limits, has_documents_only)
            if before is not None and _state(stream) != before:
                raise Refused("it changed while it was read")
            (_model_folder(staging, is_tar) or staging).rename(target)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def remove(folder: Path) -> None:
    """
    Remove a model folder that ``open_archive`` returned; one that is gone already is no error.

    A directory that was only linked stays.

    :raises OSError: a file of the folder cannot be removed.
    """
    if folder.is_symlink():
        folder.unlink(missing_ok=True)
        folder.parent.rmdir()
    elif folder.exists():
        shutil.rmtree(folder)


@contextmanager
def _told_of(source: Path) -> Iterator[None]:
    """Raise failures in TorchServe's words, with the file's name and no path."""
    text = f"Failed to save model: {source.name}"
    try:
        yield
    except Refused as why:
        raise ArchiveInvalid(f"{text} ({why})") from why
    except zlib.error as why:
        raise ArchiveInvalid(f"{text} (it is damaged)") from why
    except OSError as why:
        raise InternalError(f"{text} ({why.strerror or why})") from why


def _open(archive: Path) -> BinaryIO:
    """Open a plain file; a FIFO that has taken its place may not hold the thread."""
    descriptor = os.open(archive, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Refused("it is not a plain file")
    return open(descriptor, "rb")


def _state(stream: BinaryIO) -> tuple[int, int, int]:
    """Return what a write to an open file changes, by whatever name it is written to."""
    status = os.fstat(stream.fileno())
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _fill(stream: BinaryIO, folder: Path, limits: UnpackLimits, has_documents_only: bool) -> bool:
    """Write the entries; return whether the container is a tar."""
    stream.seek(0)
    magic = stream.read(4)
    is_tar = magic.startswith(tar_entries.MAGIC)
    if not is_tar and magic not in zip_entries.MAGIC:
        raise Refused("it is neither a zip nor a gzip-compressed tar")
    budget = _Budget(limits, os.fstat(stream.fileno()).st_size)
    read = tar_entries.tar_entries if is_tar else zip_entries.zip_entries
    stream.seek(0)
    places = Places(limits.entries)
    for entry in read(stream, limits.entries, budget.spend):
        kept = entry._replace(content=_document(entry)) if has_documents_only else entry
        _write(kept, folder, places, limits)
    return is_tar


def _document(entry: Entry) -> Iterator[bytes]:
    """Yield the content of a document, one that is too large cut off; nothing of other files."""
    size = 0
    for piece in entry.content if is_document(entry.name) else ():
        yield piece
        size += len(piece)
        if size > _LARGEST_DOCUMENT:
            return


def _write(entry: Entry, folder: Path, places: Places, limits: UnpackLimits) -> None:
    parts = path_parts(entry.name, limits.path_length)
    if not parts and not entry.is_folder:
        raise Refused(f"entry {shown(entry.name)} has a name that is not allowed")
    for new in places.take(parts, entry.is_folder):
        folder.joinpath(*new).mkdir(mode=_FOLDER_MODE)
    if entry.is_folder:
        return
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(folder.joinpath(*parts), flags, _FILE_MODES[entry.is_executable]), "wb") as file:
        for piece in entry.content:
            file.write(piece)


@define
class _Budget:
    """Counts the bytes that are written against the limits."""

    limits: UnpackLimits
    archive_size: int
    _spent: int = field(default=0, init=False)

    def spend(self, size: int) -> None:
        """
        Count ``size`` more bytes.

        :raises Refused: the bytes exceed a limit.
        """
        self._spent += size
        if self._spent > self.limits.size:
            raise Refused(f"it is larger than {self.limits.size} bytes")
        if self._spent > max(_RATIO_COUNTS_FROM, self.limits.ratio * self.archive_size):
            raise Refused(f"it is compressed more than {self.limits.ratio} to 1")


def _model_folder(folder: Path, is_tar: bool) -> Path | None:
    """
    Return the one folder that holds everything in an archive, where it is only a wrapping.

    It always is in a tar; in a zip, if the manifest is in it (legacy archives).
    """
    only = _only_folder(folder)
    if only is None or is_tar or (only / MANIFEST).is_file() or (only / LEGACY_MANIFEST).is_file():
        return only
    return None


def _only_folder(folder: Path) -> Path | None:
    """Return the one child of a folder, if the child is a folder itself and not the one of the manifest."""
    with os.scandir(folder) as children:
        first, second = next(children, None), next(children, None)
    if first is None or second is not None or first.name == MANIFEST.parent.name or not first.is_dir():
        return None
    return folder / first.name
