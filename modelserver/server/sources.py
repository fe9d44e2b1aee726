"""Builds the sources of archives: the model store, HTTP, and S3."""

from __future__ import annotations

from pathlib import Path

from attrs import field

from modelserver.config.settings import Settings
from modelserver.language.attributes import define
from modelserver.server.resources import Runtime
from modelserver.sources.http import HttpSource
from modelserver.sources.router import NAME, Sources
from modelserver.sources.s3 import S3Source
from modelserver.sources.store import StoreSource
from modelserver.sources.url_policy import UrlPolicy
from modelserver.sources.wanted import Downloads, Wanted


def make_sources(settings: Settings, runtime: Runtime, folder: Path | None) -> Sources:
    """
    Make the router of registrations' URLs, with every source behind it.

    :param folder: the store, or None if the operator has set none.
    """
    policy = UrlPolicy.parse(",".join(settings.allowed_urls) or None)
    http = HttpSource(
        folder=folder,
        policy=policy,
        downloader=LateDownloads(settings, runtime, policy),
        in_thread=runtime.threads.archives,
    )
    store = StoreSource(folder, runtime.threads.files)
    store_or_path = StoreSource(folder, runtime.threads.files, anywhere=True)
    # A file outside of the store is the operator's to allow, by a pattern.
    file = store if policy.is_default else store_or_path
    s3 = S3Source(http, runtime.environment)
    return Sources(
        store=folder,
        by_scheme={NAME: store, "file": file, "http": http, "https": http},
        signed={"http": s3, "https": s3},
        of_operator={NAME: store_or_path, "file": store_or_path},
        policy=policy,
        in_thread=runtime.threads.archives,
    )


@define(eq=False)
class LateDownloads:
    """Downloads, with what is loaded for it at the first one: most servers never need it."""

    settings: Settings
    runtime: Runtime
    policy: UrlPolicy
    _downloader: Downloads | None = field(default=None, init=False)

    async def run(self, wanted: Wanted) -> None:
        """Download an archive, as ``Downloads`` says."""
        if self._downloader is None:
            self._downloader = await self.runtime.threads.archives(self._make)
        await self._downloader.run(wanted)

    def _make(self) -> Downloads:
        """Load it. In a thread, since that takes a tenth of a second."""
        from modelserver.server.downloads import make_downloader

        return make_downloader(self.settings, self.runtime, self.policy)
