"""Builds what downloads archives. Only servers that download any load this: Twisted's client and its TLS."""

from __future__ import annotations

from twisted.web.client import BrowserLikePolicyForHTTPS
from twisted.web.iweb import IPolicyForHTTPS

from modelserver.config.settings import Settings
from modelserver.server.resources import Runtime
from modelserver.sources.download import Downloader, DownloadLimits
from modelserver.sources.pinned_agent import pinned_agent
from modelserver.sources.url_policy import UrlPolicy


def make_downloader(settings: Settings, runtime: Runtime, policy: UrlPolicy) -> Downloader:
    """Make what downloads archives."""
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
