"""Where an entry may go: names are checked and compared as any file system might compare them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from attrs import field

from modelserver.archive.entries import Refused, shown
from modelserver.language.attributes import define

_DRIVE = re.compile(r"[A-Za-z]:")
_LONGEST_PART = 255
_MOST_PARTS = 64
"""Looking up a path costs time for each of its folders."""


def path_parts(name: str, longest: int) -> tuple[str, ...]:
    """
    Split an entry's name into folders and last part; empty for the top folder itself.

    :param longest: how many bytes the whole path may have.
    :raises Refused: the path could leave the target, or no file system would take it.
    """
    if not name or "\0" in name or "\\" in name:
        raise Refused(f"entry {shown(name)} has a name that is not allowed")
    if name.startswith("/") or _DRIVE.match(name):
        raise Refused(f"entry {shown(name)} has an absolute path")
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise Refused(f"entry {shown(name)} leaves the target")
    try:
        sizes = [len(part.encode("utf-8")) for part in parts]
    except UnicodeEncodeError as why:
        raise Refused("a name is not UTF-8") from why
    is_long = sum(sizes) + len(sizes) > longest or any(size > _LONGEST_PART for size in sizes)
    if is_long or len(parts) > _MOST_PARTS:
        raise Refused(f"entry {shown(name)} has a path that is too long")
    return parts


Folder = dict[str, "Folder | None"]
"""What is in a folder: other folders, and None for a file."""


@define
class Places:
    """
    The paths that are taken. Two that differ in case or in Unicode composition only are one.

    :param most: how many there may be, folders that only lead somewhere included.
    """

    most: int
    _top: Folder = field(factory=dict, init=False)
    _taken: int = field(default=0, init=False)

    def take(self, parts: Sequence[str], is_folder: bool) -> list[Sequence[str]]:
        """
        Take a path, and every folder on the way to it.

        :return: the folders that are new, outermost first.
        :raises Refused: the path is taken, or a file is in its way, or there are too many.
        """
        folder: Folder | None = self._top
        new: list[Sequence[str]] = []
        for end, part in enumerate(parts, 1):
            is_last_file = end == len(parts) and not is_folder
            name = _folded(part)
            if folder is None or (is_last_file and name in folder):
                raise Refused(f"entry {shown('/'.join(parts))} is there twice")
            if name not in folder:
                self._count()
                folder[name] = None if is_last_file else {}
                if not is_last_file:
                    new.append(parts[:end])
            folder = folder[name]
        if folder is None and is_folder:
            raise Refused(f"entry {shown('/'.join(parts))} is there twice")
        return new

    def _count(self) -> None:
        self._taken += 1
        if self._taken > self.most:
            raise Refused(f"it has more than {self.most} entries")


def _folded(part: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", part).casefold())
