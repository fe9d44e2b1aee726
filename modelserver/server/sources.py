"""Builds the sources of archives: the model store, HTTP, and S3."""

from __future__ import annotations

from pathlib import Path

from twisted.web.client import BrowserLikePolicyForHTTPS
from twisted.web.iweb import IPolicyForHTTPS

from modelserver.config.settings import Settings
from modelserver.server.resources import Runtime
from modelserver.sources.download import Downloader, DownloadLimits
from modelserver.sources.http import HttpSource
from modelserver.sources.pinned_agent import pinned_agent
from modelserver.sources.router import NAME, Sources
from modelserver.sources.s3 import S3Source
from modelserver.sources.store import StoreSource
from modelserver.sources.url_policy import UrlPolicy


def make_sources(settings: Settings, runtime: Runtime, folder: Path | None) -> Sources:
    """
    Make the router of registrations' URLs, with every source behind it.

    :param folder: the store, or None if the operator has set none.
    """
    policy = UrlPolicy.parse(",".join(settings.allowed_urls) or None)
    http = HttpSource(
        folder=folder,
        policy=policy,
        downloader=_make_downloader(settings, runtime, policy),
        in_thread=runtime.threads.archives,
    )
    store = StoreSource(folder, runtime.threads.files)
    store_or_path = StoreSource(folder, runtime.threads.files, anywhere=True)
    s3 = S3Source(http, runtime.environment)
    return Sources(
        store=folder,
        by_scheme={NAME: store, "file": store, "http": http, "https": http},
        signed={"http": s3, "https": s3},
        of_operator={NAME: store_or_path, "file": store_or_path},
        policy=policy,
        in_thread=runtime.threads.archives,
    )


def _make_downloader(settings: Settings, runtime: Runtime, policy: UrlPolicy) -> Downloader:
    reactor = runtime.reactor
    return Downloader(
        agent=pinned_agent(reactor, reactor.nameResolver, policy.allows_address, _browser_policy()),
        clock=reactor,
        in_thread=runtime.threads.archives,
        policy=policy,
        limits=DownloadLimits(size=settings.max_download_size, total=settings.download_timeout),
    )


def _browser_policy() -> IPolicyForHTTPS:
    return BrowserLikePolicyForHTTPS()  # type: ignore[no-untyped-call]  # Twisted's
