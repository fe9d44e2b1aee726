"""Writes an archive as a zip, a gzip-compressed tar or a folder: completely, or not at all."""

from __future__ import annotations

import io
import os
import secrets
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from modelserver.language.attributes import frozen

Content = Mapping[PurePosixPath, Path]
"""What is to be in an archive: where it goes, and the file that it comes from."""


@frozen
class ManifestFile:
    """The manifest of an archive that is made: where it goes, and its bytes."""

    name: PurePosixPath
    content: bytes


@frozen
class Container:
    """
    One form of an archive.

    :param suffix: comes after the model's name.
    :param write: makes the archive at a path from its files and its manifest, or raises OSError.
    """

    suffix: str
    write: Callable[[Path, Content, ManifestFile], None]


def _write_file(target: Path, fill: Callable[[BinaryIO], None]) -> None:
    """Write beside the target, then take its place."""
    staging = _beside(target)
    try:
        with open(staging, "xb") as file:
            fill(file)
        staging.replace(target)
    finally:
        staging.unlink(missing_ok=True)


def _write_zip(target: Path, content: Content, manifest: ManifestFile, method: int) -> None:
    def fill(file: BinaryIO) -> None:
        # Called with these three alone: tests of TorchServe's put a function of their own here, to be faster.
        with zipfile.ZipFile(file, "w", method) as archive:
            for name, path in content.items():
                info = zipfile.ZipInfo.from_file(path, str(name), strict_timestamps=False)
                info.compress_type = archive.compression
                with path.open("rb") as source, archive.open(info, "w") as entry:
                    shutil.copyfileobj(source, entry)
            archive.writestr(str(manifest.name), manifest.content)

    _write_file(target, fill)


def _write_deflated(target: Path, content: Content, manifest: ManifestFile) -> None:
    _write_zip(target, content, manifest, zipfile.ZIP_DEFLATED)


def _write_stored(target: Path, content: Content, manifest: ManifestFile) -> None:
    _write_zip(target, content, manifest, zipfile.ZIP_STORED)


def _write_tar(target: Path, content: Content, manifest: ManifestFile) -> None:
    """Everything lies in one folder with the model's name; who made the files is not told."""
    top = PurePosixPath(target.name.removesuffix(".tar.gz"))

    def fill(file: BinaryIO) -> None:
        with tarfile.open(fileobj=file, mode="w:gz", dereference=True) as archive:
            for name, path in content.items():
                with path.open("rb") as source:
                    info = archive.gettarinfo(arcname=str(top / name), fileobj=source)
                    info.uid = info.gid = 0
                    info.uname = info.gname = ""
                    archive.addfile(info, source)
            info = tarfile.TarInfo(str(top / manifest.name))
            info.size = len(manifest.content)
            archive.addfile(info, io.BytesIO(manifest.content))

    _write_file(target, fill)


def _write_folder(target: Path, content: Content, manifest: ManifestFile) -> None:
    """As the peers, what is in the folder already and not packed now stays there."""
    target = target.resolve()
    staging = _beside(target)
    try:
        if target.exists():
            shutil.copytree(target, staging, symlinks=True, copy_function=_link_or_copy)
        for name, path in content.items():
            shutil.copy(path, _new_file(staging / name))
        _new_file(staging / manifest.name).write_bytes(manifest.content)
        _exchange(staging, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _exchange(new: Path, old: Path) -> None:
    """Put a folder into the place of one that may exist."""
    if not old.exists():
        new.rename(old)
        return
    aside = _beside(old)
    old.rename(aside)
    try:
        new.rename(old)
    except OSError:
        aside.rename(old)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target)


def _new_file(path: Path) -> Path:
    """Make room for a file: a link to the old one must not be written through."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    return path


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}")


WORKFLOW_CONTAINER = Container(".war", _write_deflated)
"""The container of workflows."""

CONTAINERS: Mapping[str, Container] = {
    "default": Container(".mar", _write_deflated),
    "tgz": Container(".tar.gz", _write_tar),
    "no-archive": Container("", _write_folder),
    "zip-store": Container(".mar", _write_stored),
}
"""The containers of models by the names that the archivers give them."""
