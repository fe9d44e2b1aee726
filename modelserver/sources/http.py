"""Archives that are downloaded into the model store, and deleted with the last version that uses them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from attrs import field
from twisted.internet.defer import Deferred, DeferredLock, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from modelserver.errors import ArchiveExists, ArchiveNotFound, DownloadFailed, StoreNotConfigured
from modelserver.interfaces import InThread
from modelserver.language.attributes import define
from modelserver.sources.url_policy import UrlPolicy
from modelserver.sources.wanted import Downloads, Sign, Wanted

_FILE_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._+@=~, -]{0,198}[A-Za-z0-9_+@=~-])?")


@define(eq=False)
class _Archive:
    """
    A file of the store that a URL was, or is being, downloaded to.

    :param work: the download, while it runs.
    :param waiting: those who wait for the download.
    :param users: how many have the file.
    """

    wanted: Wanted
    work: Deferred[None] | None = None
    waiting: list[Deferred[Path]] = field(factory=list)
    users: int = 0

    def serves(self, wanted: Wanted) -> bool:
        """
        Return whether a request may share this file.

        A running download is shared only if both requests are signed, or none.
        """
        is_same = self.wanted.url == wanted.url
        return is_same and (self.work is None or (self.wanted.sign is None) == (wanted.sign is None))


@define(eq=False)
class HttpSource:
    """
    Downloads from ``http`` and ``https`` URLs, and knows which files came from where.

    Every ``fetch`` that succeeded owes a ``release`` of its path; the last one deletes the file.

    :param folder: the model store, or None if the operator has set none.
    """

    folder: Path | None
    policy: UrlPolicy
    downloader: Downloads
    in_thread: InThread
    _archives: dict[str, _Archive] = field(factory=dict, init=False)
    _locks: dict[str, DeferredLock] = field(factory=dict, init=False)
    _log = Logger()

    def fetch(self, url: str, sign: Sign | None = None) -> Deferred[Path]:
        """
        Download an archive, or take part in a download or a file that is there for the same URL.

        Cancel the Deferred to leave; the download goes on as long as somebody else waits for it.

        :param sign: signs the requests to the URL's own origin.
        :raises StoreNotConfigured: there is no store to download to.
        :raises ArchiveNotFound: the URL, a redirect or an address is not allowed.
        :raises ArchiveExists: the store has a file of this name from elsewhere.
        :raises DownloadFailed: the archive could not be fetched; nothing is left on disk.
        """
        return Deferred.fromCoroutine(self._fetch(url, sign))

    async def adopt(self, url: str) -> Path:
        """
        Return the file that an earlier server has downloaded from a URL; owed to ``release``, as any other.

        :raises StoreNotConfigured: there is no store.
        :raises ArchiveNotFound: the URL is not allowed (any more), or there is no such file.
        :raises ArchiveExists: the file is, or will be, one from another URL.
        """
        wanted = self._wanted(url, None)
        target = wanted.target
        if not await self.in_thread(target.is_file):
            raise ArchiveNotFound(url)
        archive = self._archives.setdefault(target.name, _Archive(wanted))
        if archive.work is not None or not archive.serves(wanted):
            raise ArchiveExists(target.name)
        archive.users += 1
        return target

    def release(self, path: Path, keeps_file: bool = False) -> Deferred[None]:
        """
        Give back a path of ``fetch`` or ``adopt``; the last user's deletes the file. Other paths are ignored.

        :param keeps_file: the file stays on disk, and is forgotten here.
        """
        archive = self._archives.get(path.name)
        if archive is None or archive.wanted.target != path or not archive.users:
            return succeed(None)
        archive.users -= 1
        if archive.users:
            return succeed(None)
        del self._archives[path.name]
        return succeed(None) if keeps_file else Deferred.fromCoroutine(self._delete(path))

    async def _fetch(self, url: str, sign: Sign | None) -> Path:
        wanted = self._wanted(url, sign)
        name = wanted.target.name
        archive = self._archives.get(name)
        is_new = archive is None
        if archive is None:
            archive = self._archives[name] = _Archive(wanted)
        elif not archive.serves(wanted):
            raise ArchiveExists(name)
        elif archive.work is None:
            archive.users += 1
            return wanted.target
        waiter: Deferred[Path] = Deferred(partial(self._leave, archive))
        archive.waiting.append(waiter)
        if is_new:
            self._start(archive)
        return await waiter

    def _wanted(self, url: str, sign: Sign | None) -> Wanted:
        if self.folder is None:
            raise StoreNotConfigured()
        normal = self.policy.check(url)
        if normal.scheme == "file":
            raise ArchiveNotFound(url)
        if not _FILE_NAME.fullmatch(normal.file_name):
            raise DownloadFailed(url, "the last component of its path is no name for a file")
        return Wanted(normal, url, self.folder / normal.file_name, sign)

    def _start(self, archive: _Archive) -> None:
        archive.work = Deferred.fromCoroutine(self._download(archive.wanted))
        archive.work.addBoth(self._finished, archive)

    def _finished(self, result: Failure | None, archive: _Archive) -> None:
        archive.work = None
        waiting, archive.waiting = archive.waiting, []
        if isinstance(result, Failure):
            self._forget(archive)
        else:
            archive.users = len(waiting)
        for waiter in waiting:
            if not waiter.called:  # a waiter that is called may cancel another
                waiter.callback(archive.wanted.target if result is None else result)

    def _leave(self, archive: _Archive, waiter: Deferred[Path]) -> None:
        if waiter not in archive.waiting:  # its result is on the way: give the file back
            self.release(archive.wanted.target)
            return
        archive.waiting.remove(waiter)
        if not archive.waiting and archive.work is not None:
            self._forget(archive)
            archive.work.cancel()

    def _forget(self, archive: _Archive) -> None:
        name = archive.wanted.target.name
        if self._archives.get(name) is archive:
            del self._archives[name]

    async def _download(self, wanted: Wanted) -> None:
        async with self._alone_with(wanted.target):
            await self.downloader.run(wanted)

    async def _delete(self, path: Path) -> None:
        async with self._alone_with(path):
            try:
                await self.in_thread(path.unlink, missing_ok=True)
            except OSError:
                self._log.failure("Cannot delete {path}", path=str(path))

    @asynccontextmanager
    async def _alone_with(self, path: Path) -> AsyncIterator[None]:
        """Wait until no earlier download or deletion touches a file any more."""
        lock = self._locks.setdefault(path.name, DeferredLock())
        await lock.acquire()
        try:
            yield
        finally:
            lock.release()
            if not lock.locked and self._locks.get(path.name) is lock:
                del self._locks[path.name]
