"""The way from the ``url`` of a registration to an archive on disk, and back when the model goes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from attrs import field
from twisted.internet.defer import Deferred

from modelserver.errors import StoreNotConfigured
from modelserver.interfaces import InThread, ModelSource
from modelserver.language.attributes import frozen
from modelserver.sources.store import refuse_relative
from modelserver.sources.url_policy import UrlPolicy, refusal
from modelserver.sources.urls import is_url

NAME = ""
"""Stands for a scheme where a registration has the name of a file in the model store instead of a URL."""


@frozen
class Fetched:
    """
    An archive or folder that a version may be made of; owed to ``Sources.release``.

    :param source: where the archive comes from; the source takes it back.
    """

    path: Path
    source: ModelSource


@frozen(kw_only=True)
class Sources:
    """
    Chooses where an archive comes from, by its URL's scheme, after the checks in TorchServe's order.

    A new source is a row in ``by_scheme`` (and a scheme that ``policy`` allows).

    :param store: the model store, which every registration needs, or None if the operator has set none.
    :param by_scheme: the sources, by scheme; ``NAME`` is the key for names in the model store.
    :param signed: the sources that go first where a registration asks for signed requests, by scheme.
    :param of_operator: the sources that go first for URLs that the operator has written, by scheme.
    """

    store: Path | None
    by_scheme: Mapping[str, ModelSource]
    signed: Mapping[str, ModelSource] = field(factory=dict)
    of_operator: Mapping[str, ModelSource] = field(factory=dict)
    policy: UrlPolicy
    in_thread: InThread

    def fetch(self, url: str, signed: bool = False, anywhere: bool = False) -> Deferred[Fetched]:
        """
        Return the local archive or folder for a URL.

        Cancel the Deferred to give up; nothing is left on disk then.

        :param signed: the download is one from S3 that needs a signature.
        :param anywhere: an absolute path may lead out of the model store: the operator has written it.
        :raises StoreNotConfigured: there is no model store.
        :raises ArchiveNotFound: there is nothing that may be read.
        :raises ArchiveExists: the store has a file of this name from elsewhere.
        :raises DownloadFailed: the archive could not be fetched; nothing is left on disk.
        :raises BadRequest: the variables for a signature are missing.
        """
        return Deferred.fromCoroutine(self._find(url, signed, anywhere))

    async def adopt(self, url: str) -> Fetched:
        """
        Return an archive that an earlier server has downloaded; owed to ``release``, as any other.

        :raises StoreNotConfigured: there is no model store.
        :raises UrlInvalid: the URL is malformed.
        :raises ArchiveNotFound: the file is not there, or the URL is not allowed any more.
        :raises ArchiveExists: the file is from another URL now.
        """
        self._require_store()
        source = self._source(url, self.policy.check(url).scheme)
        return Fetched(await source.adopt(url), source)

    def release(self, fetched: Fetched, keeps_download: bool = False) -> Deferred[None]:
        """
        Give back what ``fetch`` gave, once. The Deferred never fails: a file that stays is logged.

        :param keeps_download: what was downloaded stays in the store, for the next server to adopt.
        """
        return fetched.source.release(fetched.path, keeps_download)

    async def _find(self, url: str, signed: bool, anywhere: bool) -> Fetched:
        self._require_store()
        refuse_relative(url)
        scheme = self.policy.check(url).scheme if is_url(url) else NAME
        preferred = ((self.signed, signed), (self.of_operator, anywhere))
        source = self._source(url, scheme, *(table for table, is_asked in preferred if is_asked))
        return Fetched(await source.fetch(url), source)

    def _require_store(self) -> None:
        if self.store is None:
            raise StoreNotConfigured()

    def _source(self, url: str, scheme: str, *preferred: Mapping[str, ModelSource]) -> ModelSource:
        for table in (*preferred, self.by_scheme):
            if scheme in table:
                return table[scheme]
        raise refusal(url)
