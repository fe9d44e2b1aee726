"""A registration's URL finds its archive, in every way that an archive can come."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from attrs import evolve
from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource

from modelserver.errors import (
    ArchiveExists,
    ArchiveNotFound,
    BadRequest,
    DownloadFailed,
    StoreNotConfigured,
)
from modelserver.interfaces import InThread, ModelSource
from modelserver.sources.download import Downloader
from modelserver.sources.http import HttpSource
from modelserver.sources.router import NAME, Fetched, Sources
from modelserver.sources.s3 import S3Source
from modelserver.sources.store import StoreSource
from modelserver.sources.url_policy import UrlPolicy
from tests.harness.sources import names_in
from tests.harness.threads import at_once

ARCHIVE = os.urandom(300_000)
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "B", "AWS_DEFAULT_REGION": "C"}


class Files(Resource):
    """A web server with one archive, open at ``/x.mar`` and for signed requests at ``/signed.mar``."""

    isLeaf = True

    def render_GET(self, request: IRequest) -> bytes:
        path = request.path
        is_signed = request.requestHeaders.hasHeader("authorization")
        if path == b"/x.mar" or (path == b"/signed.mar" and is_signed):
            return ARCHIVE
        request.setResponseCode(403 if path == b"/signed.mar" else 404)
        return b"no"


def sources(
    store: Path | None,
    in_thread: InThread = at_once,
    policy: UrlPolicy | None = None,
    environment: Mapping[str, str] = ENVIRONMENT,
) -> Sources:
    """All sources, over a web server in memory."""
    policy = policy or UrlPolicy()
    downloader = Downloader(RequestTraversalAgent(Files()), Clock(), in_thread, policy)
    http = HttpSource(store, policy, downloader, in_thread)
    local, s3 = StoreSource(store, in_thread), S3Source(http, environment)
    return Sources(
        store=store,
        by_scheme={NAME: local, "file": local, "http": http, "https": http},
        signed={"http": s3, "https": s3},
        policy=policy,
        in_thread=in_thread,
    )


class SourcesTestCase(SynchronousTestCase):
    """A store with one archive."""

    def setUp(self) -> None:
        self.store = Path(self.mktemp()).absolute()
        self.store.mkdir()
        (self.store / "mine.mar").write_bytes(ARCHIVE)
        self.sources = sources(self.store)

    def left_as_it_was(self) -> None:
        self.assertEqual(names_in(self.store), ["mine.mar"])


class FetchTests(SourcesTestCase):
    """Where an archive is taken from, and what becomes of it."""

    def test_archives_of_the_store_stay(self) -> None:
        for url in ("mine.mar", "sub/mine.mar", f"file://{self.store}/mine.mar"):
            fetched = self.successResultOf(self.sources.fetch(url))
            self.assertEqual(fetched, Fetched(self.store / "mine.mar", self.sources.by_scheme[NAME]))
            self.successResultOf(self.sources.release(fetched))
            self.left_as_it_was()

    def test_downloads_go_with_their_release(self) -> None:
        fetched = self.successResultOf(self.sources.fetch("https://h/x.mar"))
        self.assertEqual(fetched, Fetched(self.store / "x.mar", self.sources.by_scheme["https"]))
        self.assertEqual(fetched.path.read_bytes(), ARCHIVE)
        self.successResultOf(self.sources.release(fetched))
        self.left_as_it_was()

    def test_signed_downloads(self) -> None:
        url = "http://h/signed.mar"
        self.failureResultOf(self.sources.fetch(url), DownloadFailed)
        self.left_as_it_was()
        fetched = self.successResultOf(self.sources.fetch(url, signed=True))
        self.assertIs(fetched.source, self.sources.signed["http"])

    def test_a_store_needs_no_signature(self) -> None:
        unset = sources(self.store, environment={})
        self.successResultOf(unset.fetch("mine.mar", signed=True))
        self.failureResultOf(unset.fetch("http://h/signed.mar", signed=True), BadRequest)

    def test_another_source_is_a_row(self) -> None:
        other = StoreSource(self.store, at_once, anywhere=True)
        rows = evolve(self.sources, by_scheme={**self.sources.by_scheme, "file": other})
        fetched = self.successResultOf(rows.fetch(f"file://{self.store}/mine.mar"))
        self.assertIs(fetched.source, other)

    def test_an_allowed_scheme_without_a_source(self) -> None:
        bare = evolve(self.sources, by_scheme={})
        self.failureResultOf(bare.fetch("https://h/x.mar"), ArchiveNotFound)

    def test_failed_download_leaves_nothing(self) -> None:
        self.failureResultOf(self.sources.fetch("http://h/missing.mar"), DownloadFailed)
        self.left_as_it_was()

    def test_download_replaces_nothing(self) -> None:
        self.failureResultOf(self.sources.fetch("http://h/mine.mar"), ArchiveExists)
        self.left_as_it_was()


class OrderOfChecksTests(SourcesTestCase):
    """The first thing that is wrong is told."""

    def refusal(self, url: str, policy: UrlPolicy | None = None) -> str:
        """The text for a URL that leads nowhere."""
        waiting = sources(self.store, policy=policy).fetch(url)
        return str(self.failureResultOf(waiting, ArchiveNotFound).value)

    def test_no_store_before_everything(self) -> None:
        for url in ("", "../x", "http://127.0.0.1/x", "http://h/x.mar", "x.mar"):
            self.failureResultOf(sources(None).fetch(url), StoreNotConfigured)

    def test_empty(self) -> None:
        self.assertEqual(self.refusal(""), "empty url")

    def test_dots_before_the_policy(self) -> None:
        for url in ("http://127.0.0.1/../x", "https://h/a..b.mar", "../x.mar", "http://h/%2e%2e/x.mar"):
            self.assertEqual(self.refusal(url), f"Relative path is not allowed in url: {url}")

    def test_policy_before_the_store(self) -> None:
        for url in ("http://127.0.0.1/x.mar", "s3://bucket/mine.mar"):
            self.assertEqual(self.refusal(url), f"Given URL {url} does not match any allowed URL(s)")
        self.assertEqual(self.refusal("file://h/mine.mar"), "Invalid model url: file://h/mine.mar")
        only_https = UrlPolicy.parse("https://.*")
        url = f"file://{self.store}/mine.mar"
        self.assertEqual(self.refusal(url, only_https), f"Given URL {url} does not match any allowed URL(s)")

    def test_names_need_no_pattern(self) -> None:
        self.successResultOf(sources(self.store, policy=UrlPolicy.parse("")).fetch("mine.mar"))

    def test_not_found(self) -> None:
        everything = UrlPolicy.parse("file://.*|http(s)?://.*")
        for url in ("x.mar", "/etc/passwd", "file:///etc/passwd"):
            self.assertEqual(self.refusal(url, everything), f"Model not found at: {url}")


class ModelSourceContract(SourcesTestCase):
    """What every provider of ``ModelSource`` does. Subclasses say what they can find."""

    __test__ = False
    known = ""
    unknown = ""
    forbidden = ""

    def provider(self, all_sources: Sources) -> ModelSource:
        """The source under test."""
        raise NotImplementedError

    def fetch(self, url: str) -> Deferred[Path]:
        return self.provider(self.sources).fetch(url)

    def test_a_known_url_gives_a_path_in_the_store(self) -> None:
        path = self.successResultOf(self.fetch(self.known))
        self.assertEqual((path.parent, path.read_bytes()), (self.store, ARCHIVE))

    def test_an_unknown_url_fails_and_leaves_nothing(self) -> None:
        self.failureResultOf(self.fetch(self.unknown), ArchiveNotFound, DownloadFailed)
        self.left_as_it_was()

    def test_a_released_path_is_left_to_the_source(self) -> None:
        provider = self.provider(self.sources)
        path = self.successResultOf(self.fetch(self.known))
        self.successResultOf(provider.release(path))
        self.left_as_it_was()

    def test_an_unknown_url_has_nothing_to_adopt(self) -> None:
        adopted = Deferred.fromCoroutine(self.provider(self.sources).adopt(self.unknown))
        self.failureResultOf(adopted, ArchiveNotFound)

    def test_a_forbidden_url_is_not_found(self) -> None:
        self.failureResultOf(self.fetch(self.forbidden), ArchiveNotFound)

    def test_nothing_is_raised_at_once(self) -> None:
        for url in ("", "\x00", "http://", "\ud800"):
            self.failureResultOf(self.fetch(url), ArchiveNotFound)


class StoreContractTests(ModelSourceContract):
    """The model store is a model source."""

    __test__ = True
    known, unknown, forbidden = "mine.mar", "x.mar", "/etc/passwd"

    def provider(self, all_sources: Sources) -> ModelSource:
        return all_sources.by_scheme[NAME]


class HttpContractTests(ModelSourceContract):
    """Downloads are a model source."""

    __test__ = True
    known, unknown, forbidden = "http://h/x.mar", "http://h/y.mar", "http://127.0.0.1/x.mar"

    def provider(self, all_sources: Sources) -> ModelSource:
        return all_sources.by_scheme["http"]


class S3ContractTests(HttpContractTests):
    """Signed downloads are a model source."""

    known = "http://h/signed.mar"

    def provider(self, all_sources: Sources) -> ModelSource:
        return all_sources.signed["http"]
