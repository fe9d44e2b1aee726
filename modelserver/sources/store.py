"""Archives that lie in the model store already."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from unicodedata import normalize
from urllib.parse import unquote_to_bytes

from twisted.internet.defer import Deferred, succeed

from modelserver.errors import ArchiveNotFound, StoreNotConfigured
from modelserver.interfaces import InThread
from modelserver.language.attributes import frozen
from modelserver.sources.urls import NormalUrl, is_url

_DEEPEST_ENCODING = 8
_OVERLONG = ((b"\xc0\xae", b"."), (b"\xe0\x80\xae", b"."), (b"\xc0\xaf", b"/"))
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_DRIVE = re.compile(r"[A-Za-z]:[/\\]")


def refuse_relative(url: str) -> None:
    """
    Refuse an empty URL, and one with ``..`` in it, however it is encoded.

    :raises ArchiveNotFound: the URL is refused; the texts are TorchServe's.
    """
    if not url:
        raise ArchiveNotFound(url, "empty url")
    if any(".." in form for form in _decoded(url)):
        raise ArchiveNotFound(url, f"Relative path is not allowed in url: {url}")


@frozen
class StoreSource:
    """
    The files and folders of the model store, by name or by a ``file://`` URL.

    What the operator has put into the store is the operator's word: an entry may be a link to a file or
    folder anywhere, as storage initialisers and TorchServe's own tooling make them.

    :param store: the folder, or None if the operator has set none.
    :param anywhere: an absolute path may lead out of the store: for URLs that the operator has written.
    """

    store: Path | None
    in_thread: InThread
    anywhere: bool = False

    @property
    def folder(self) -> Path:
        """
        Return the model store.

        :raises StoreNotConfigured: the operator has set none.
        """
        if self.store is None:
            raise StoreNotConfigured()
        return self.store

    def fetch(self, url: str) -> Deferred[Path]:
        """
        Return the file or folder with a name; nothing is copied, nor opened.

        Folders before the name are dropped, as TorchServe and MMS do; those of an absolute path where it does
        not lead into the store, for the caller may know the store by another path. A ``file://`` URL is taken
        as it is, inside the store.

        :raises StoreNotConfigured: there is no store.
        :raises ArchiveNotFound: there is nothing of that name that may be read.
        """
        return Deferred.fromCoroutine(self._fetch(url))

    async def adopt(self, url: str) -> Path:
        """
        Refuse: nothing is ever downloaded from the model store.

        :raises ArchiveNotFound: always.
        """
        raise ArchiveNotFound(url)

    def release(self, path: Path, keeps_file: bool = False) -> Deferred[None]:
        """Leave the file where it is: it is the operator's."""
        return succeed(None)

    async def _fetch(self, url: str) -> Path:
        folder = self.folder
        refuse_relative(url)
        path = _named(folder, url)
        if path is None or path.name.startswith("."):  # a hidden file may be a half download
            raise ArchiveNotFound(url)
        is_path = url.startswith("/")
        root = Path("/") if self.anywhere and (is_path or is_url(url)) else folder
        if await self.in_thread(_may_be_read, root, path):
            return path
        if is_path and path.name and await self.in_thread(_may_be_read, folder, folder / path.name):
            return folder / path.name
        raise ArchiveNotFound(url)


def _decoded(text: str) -> Iterator[str]:
    """Yield a text in every form that some program could decode it to."""
    for _ in range(_DEEPEST_ENCODING):
        yield text
        yield normalize("NFKC", text)
        raw = unquote_to_bytes(text.encode("utf-8", "surrogatepass"))
        for overlong, meaning in _OVERLONG:
            raw = raw.replace(overlong, meaning)
        decoded = raw.decode("utf-8", "replace")
        if decoded == text:
            return
        text = decoded
    yield ".."  # encoded deeper than any honest client does


def _named(folder: Path, url: str) -> Path | None:
    """Return the path that a name or a ``file://`` URL stands for, or None if it cannot stand for one."""
    if is_url(url):
        try:
            normal = NormalUrl.parse(url)
        except ValueError:
            return None
        text = normal.file_path if normal.scheme == "file" else ""
        # Of several slashes at its beginning, POSIX leaves two to the system; here they are one.
        return None if not text or _CONTROL.search(text) else Path(f"/{text.lstrip('/')}")
    if _CONTROL.search(url) or _DRIVE.match(url) or url.startswith("\\"):
        return None
    if url.startswith("/"):
        return Path(url)
    name = url.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return folder / name if name else None


def _may_be_read(root: Path, path: Path) -> bool:
    """Return whether a path leads to a file or a folder that ``root`` holds, or links to. Blocks."""
    try:
        top, real = os.path.realpath(root), os.path.realpath(path, strict=True)
        mode = os.stat(real).st_mode
        is_held = _is_below(real, top) or _is_linked(root, top, path)
    except (OSError, ValueError):
        return False
    # A folder that holds the store is no model, and would give every name below it.
    is_around = real == top or _is_below(top, real)
    return is_held and not is_around and (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _is_linked(root: Path, top: str, path: Path) -> bool:
    """
    Return whether a path leaves the store by one of the store's own links only.

    Below a linked folder, everything stays in that folder: who fills it need not be who fills the store.

    :param top: the store's real path.
    :raises OSError: a part of the path does not exist.
    """
    for start in (root, Path(top)):
        if path.is_relative_to(start):
            break
    else:
        return False
    at, limit = top, top
    for part in path.relative_to(start).parts:
        real = os.path.realpath(os.path.join(at, part), strict=True)
        if not _is_below(real, limit):
            if limit != top or _is_below(top, real) or real == top:
                return False
            limit = real
        at = real
    return True


def _is_below(path: str, folder: str) -> bool:
    """Return whether one real path lies in another."""
    return path != folder and os.path.commonpath((folder, path)) == folder
