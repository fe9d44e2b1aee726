"""The way from the ``url`` of a registration to an archive on disk, and back when the model goes."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen
from twisted.internet.defer import Deferred, succeed

from modelserver.interfaces import InThread
from modelserver.sources.digest import Sha256
from modelserver.sources.http import HttpSource
from modelserver.sources.s3 import S3Source
from modelserver.sources.store import StoreSource, refuse_relative
from modelserver.sources.url_policy import UrlPolicy
from modelserver.sources.urls import is_url


@frozen
class Fetched:
    """
    An archive or folder that a version may be made of; owed to ``Sources.release``.

    :param downloaded: it came from elsewhere, and goes when nobody uses it any more.
    """

    path: Path
    downloaded: bool


@frozen
class Sources:
    """Chooses where an archive comes from, by its URL, after the checks in TorchServe's order."""

    store: StoreSource
    http: HttpSource
    s3: S3Source
    policy: UrlPolicy
    in_thread: InThread

    def fetch(
        self, url: str, signed: bool = False, sha256: str | None = None, anywhere: bool = False
    ) -> Deferred[Fetched]:
        """
        The local archive or folder for a URL.

        Cancel the Deferred to give up; nothing is left on disk then.

        :param signed: the download is one from S3 that needs a signature.
        :param sha256: what the file must have.
        :param anywhere: an absolute path may lead out of the model store: the operator has written it.
        :raises StoreNotConfigured: there is no model store.
        :raises ArchiveNotFound: there is nothing that may be read.
        :raises ArchiveExists: the store has a file of this name from elsewhere.
        :raises DownloadFailed: it could not be fetched; nothing is left on disk.
        :raises BadRequest: the variables for a signature are missing, or ``sha256`` is none.
        :raises ArchiveInvalid: the file does not have this ``sha256``; a download is deleted again.
        """
        return Deferred.fromCoroutine(self._fetch(url, signed, sha256, anywhere))

    async def adopt(self, url: str) -> Fetched:
        """
        An archive that was downloaded before this server was started; owed to ``release``, as any other.

        :raises ArchiveNotFound: it is not there, or the URL is not allowed any more.
        :raises ArchiveExists: the file is from another URL now.
        """
        return Fetched(await self.http.adopt(url), downloaded=True)

    def release(self, fetched: Fetched, keeps_download: bool = False) -> Deferred[None]:
        """
        Give back what ``fetch`` gave, once. It never fails: a file that stays is logged.

        :param keeps_download: what was downloaded stays in the store, for the next server to adopt.
        """
        return self.http.release(fetched.path, keeps_download) if fetched.downloaded else succeed(None)

    async def _fetch(self, url: str, signed: bool, sha256: str | None, anywhere: bool) -> Fetched:
        expected = None if sha256 is None else Sha256.parse(sha256)
        fetched = await self._find(url, signed, anywhere)
        if expected is not None:
            try:
                await expected.verify(fetched.path, self.in_thread)
            except BaseException:
                await self.release(fetched)
                raise
        return fetched

    async def _find(self, url: str, signed: bool, anywhere: bool) -> Fetched:
        _ = self.store.folder  # raises if there is none
        refuse_relative(url)
        if not is_url(url) or self.policy.check(url).scheme == "file":
            return Fetched(await self.store.fetch(url, anywhere), downloaded=False)
        source = self.s3 if signed else self.http
        return Fetched(await source.fetch(url), downloaded=True)
