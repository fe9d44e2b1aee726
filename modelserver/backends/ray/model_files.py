"""The files of versions, as nodes get them: packed once, named by their hash, sent piece by piece."""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

from attrs import field
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from modelserver.backends.ray.remote_link import RemoteLink
from modelserver.backends.ray.wire import PIECE, NodeKind
from modelserver.interfaces import InThread
from modelserver.language.attributes import define, frozen
from modelserver.protocol import frames

MOST_WAITING = 1 << 22
"""Bytes that wait for the network from which on no more is read of the files."""

_log = Logger()


@frozen
class PackedFiles:
    """Files in one file: where it is, the SHA-256 of it, and its bytes."""

    path: Path
    digest: str
    size: int


def pack_folder(folder: Path, target: Path) -> PackedFiles:
    """
    Pack the files below ``folder``: the same files give the same bytes. Blocks.

    :raises OSError: they cannot be read, or the packed file cannot be written.
    """
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT, dereference=True) as packed:
        for path in _below(folder):
            member = packed.gettarinfo(str(path), arcname=path.relative_to(folder).as_posix())
            if member is None or not (member.isreg() or member.isdir()):
                continue
            member.mtime = member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            # Two names of one file are two files.
            member.type = tarfile.DIRTYPE if member.isdir() else tarfile.REGTYPE
            if member.isreg():
                with path.open("rb") as file:
                    packed.addfile(member, file)
            else:
                packed.addfile(member)
    with target.open("rb") as file:
        digest = hashlib.sha256()
        while piece := file.read(PIECE):
            digest.update(piece)
    return PackedFiles(target, digest.hexdigest(), target.stat().st_size)


def _below(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(folders + files):
            yield Path(root, name)


@define(eq=False)
class ModelFiles:
    """
    Packs the folders of versions when a node needs one, and forgets them with their versions.

    :param folder: where packed files are kept.
    """

    folder: Path
    in_thread: InThread
    _waiting: dict[Path, list[Deferred[PackedFiles]]] = field(factory=dict, init=False)
    _known: dict[Path, PackedFiles] = field(factory=dict, init=False)
    _number: int = field(default=0, init=False)

    async def packed(self, folder: Path) -> PackedFiles:
        """
        Return the files of a folder, which does not change, packed.

        :raises OSError: they cannot be.
        """
        if folder in self._known:
            return self._known[folder]
        if folder in self._waiting:
            waiter: Deferred[PackedFiles] = Deferred()
            self._waiting[folder].append(waiter)
            return await waiter
        self._waiting[folder] = []
        self._number += 1
        target = self.folder / f"files-{self._number}.tar"
        try:
            packed = await self.in_thread(pack_folder, folder, target)
        except OSError as error:
            for waiter in self._waiting.pop(folder):
                waiter.errback(error)
            target.unlink(missing_ok=True)
            raise
        self._known[folder] = packed
        for waiter in self._waiting.pop(folder):
            waiter.callback(packed)
        return packed

    def forget(self, folder: Path) -> None:
        """Remove what was packed of a folder."""
        known = self._known.pop(folder, None)
        if known is not None:
            known.path.unlink(missing_ok=True)

    async def offer(self, link: RemoteLink, folder: Path, is_wanted: bool) -> None:
        """
        Tell a node what the files of ``folder`` are, or (``is_wanted``) send them.

        :raises OSError: they cannot be read.
        """
        packed = await self.packed(folder)
        if not is_wanted:
            link.send(frames.pack_json(NodeKind.OFFER, {"digest": packed.digest, "size": packed.size}))
            return
        with packed.path.open("rb") as file:
            left = packed.size
            while left > 0 and link.is_open:
                piece = await self.in_thread(file.read, PIECE)
                left -= len(piece)
                if not piece:
                    raise OSError(f"{packed.path} became shorter")
                link.send(frames.pack_header(len(piece), NodeKind.FILES, 0, int(left <= 0), 0), piece)
                if link.backlog > MOST_WAITING:
                    await link.drained()
