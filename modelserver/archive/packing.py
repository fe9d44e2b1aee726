"""What all packers of archives share: names, targets, and the files that are taken."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Protocol

from modelserver.archive.containers import Container, Content, ManifestFile
from modelserver.language.attributes import frozen

_NAME = r"^[A-Za-z0-9][A-Za-z0-9_\-.]*$"

Tell = Callable[[str], None]
"""Told what the user should know though nothing fails."""


class PackingFailed(Exception):
    """No archive was made, and nothing is left; the text says why."""


class FileMissing(PackingFailed):
    """A file that is to be packed is not there."""


class Packed(Protocol):
    """What is to be packed."""

    def manifest(self) -> Mapping[str, object]:
        """Return the document of the manifest."""

    def content(self, tell: Tell) -> Content:
        """
        Return the files of the archive.

        :raises PackingFailed: a file cannot be taken.
        """


@frozen
class Packing:
    """
    Where an archive is to be, and in which form.

    :param kind: what is packed, for texts.
    :param name: what its file is called, without the container's suffix.
    :param manifest: the manifest's place in the archive.
    :param force: an archive of the same name may be replaced.
    """

    kind: str
    name: str
    export_path: Path
    container: Container
    manifest: PurePosixPath
    force: bool = False


def write_archive(packing: Packing, packed: Packed, tell: Tell) -> Path:
    """
    Make an archive, completely or not at all; texts are those of the peers' programs.

    :return: the archive, or the folder where the container is one.
    :raises PackingFailed: the archive cannot be made.
    """
    check_name(packing.name, packing.kind)
    check_export_path(packing.export_path)
    target = packing.export_path / f"{packing.name}{packing.container.suffix}"
    if target.exists():
        check_replaced(str(target), packing.kind, packing.force, tell)
    try:
        content = packed.content(tell)
        document = json.dumps(packed.manifest(), indent=2).encode()
        write_content(packing.container, target, content, ManifestFile(packing.manifest, document))
    except FileNotFoundError as why:
        raise FileMissing(str(why)) from why
    except (OSError, UnicodeError) as why:
        raise PackingFailed(str(why)) from why
    return target


def write_content(container: Container, target: Path, content: Content, manifest: ManifestFile) -> None:
    """
    Write an archive with a manifest of its own, in the place of one that the content may have.

    :raises PackingFailed: a file stands where another one needs a folder.
    :raises OSError: it cannot be written.
    """
    content = {name: path for name, path in content.items() if name != manifest.name}
    _check_folders(content)
    container.write(target, content, manifest)


def check_name(name: str, kind: str) -> None:
    """
    Refuse a name that a file of an archive cannot have.

    :raises PackingFailed: it has other characters.
    """
    if not re.fullmatch(_NAME.rstrip("$"), name):
        raise PackingFailed(
            f"{kind.capitalize()} name contains special characters.\n"
            f"The allowed regular expression filter for {kind} name is: {_NAME}"
        )


def check_export_path(export_path: Path) -> None:
    """
    Refuse what is no folder.

    :raises PackingFailed: it is none.
    """
    if not export_path.is_dir():
        raise PackingFailed(
            f"Given export-path {export_path} is not a directory. Point to a valid export-path directory."
        )


def check_replaced(target: str, kind: str, force: bool, tell: Tell) -> None:
    """
    Say that an archive is there already.

    :raises PackingFailed: it may not be replaced.
    """
    if not force:
        raise PackingFailed(
            f"{target} already exists.\n"
            f"Please specify --force/-f option to overwrite the {kind} archive output file.\n"
            "See -h/--help for more details."
        )
    tell(f"Overwriting {target} ...")


def _check_folders(content: Content) -> None:
    folders = {folder for name in content for folder in name.parents}
    for name in content:
        if name in folders:
            raise PackingFailed(f"{name} is a file and a folder of the archive.")


def base_name(path: str | None) -> str | None:
    """Return the last part of a path."""
    return None if path is None else path.rsplit("/", 1)[-1]


def listed(names: str | None) -> tuple[str, ...]:
    """Return what ``--extra-files`` names, separated by commas."""
    return tuple(name for name in (names or "").split(",") if name)


def single(name: str | None) -> Iterator[tuple[PurePosixPath, Path]]:
    """Yield the one file that a path names, which will lie at the top of the archive."""
    if name:
        path = Path(name)
        yield PurePosixPath(path.name), path


def add(
    content: dict[PurePosixPath, Path],
    files: Iterable[tuple[PurePosixPath, Path]],
    tell: Tell,
    is_taken: Callable[[str], bool] = lambda name: True,
) -> None:
    """
    Take files into an archive's content, each of which must be there and be a file.

    :raises OSError: one is not there, or is a folder.
    :raises PackingFailed: one is no plain file.
    """
    for name, path in files:
        if not is_taken(name.name):
            continue
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise PackingFailed(f"Not a plain file: {path}")
        before = content.get(name)
        if before is not None and not before.samefile(path):
            tell(f"{path} takes the place of {before} in the archive: both are named {name}")
        content[name] = path
