"""A download is whole and within its limits, or leaves nothing."""

from __future__ import annotations

from ipaddress import ip_address
from itertools import product
from pathlib import Path
from typing import cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseFailed
from twisted.web.http import PotentialDataLoss

from modelserver.errors import ArchiveExists, ArchiveNotFound, DownloadFailed
from modelserver.interfaces import InThread
from modelserver.sources.download import Downloader, DownloadLimits, free_bytes
from modelserver.sources.pinned_agent import AddressRefused
from modelserver.sources.url_policy import UrlPolicy
from modelserver.sources.urls import NormalUrl
from modelserver.sources.wanted import Sign, Wanted
from tests.harness.sources import FakeAgent, FakeResponse, HeldThreads, names_in
from tests.harness.threads import at_once

LIMITS = DownloadLimits(size=100, total=64.0, idle=16.0, free_disk=1000, redirects=5)


class DownloadTestCase(SynchronousTestCase):
    """A downloader whose agent the test plays."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.agent = FakeAgent()
        self.clock = Clock()
        self.free = 1_000_000
        self.events: list[LogEvent] = []
        observer = cast(ILogObserver, self.events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def download(
        self,
        *responses: FakeResponse,
        policy: UrlPolicy | None = None,
        limits: DownloadLimits = LIMITS,
        sign: Sign | None = None,
        in_thread: InThread = at_once,
    ) -> Deferred[None]:
        """Download ``http://h/x.mar``; the server answers with these."""
        self.agent.responses = list(responses)
        downloader = Downloader(
            self.agent, self.clock, in_thread, policy or UrlPolicy(), limits, lambda folder: self.free
        )
        url = "http://h/x.mar"
        wanted = Wanted(NormalUrl.parse(url), url, self.folder / "x.mar", sign)
        return Deferred.fromCoroutine(downloader.run(wanted))

    def failed(self, waiting: Deferred[None]) -> str:
        """Why a download failed, having left nothing and no timer."""
        error = self.failureResultOf(waiting, DownloadFailed).value
        self.left_nothing()
        self.assertTrue(str(error).startswith("Failed to download archive from: http://h/x.mar"))
        return str(error.reason)

    def left_nothing(self) -> None:
        self.assertEqual((names_in(self.folder), self.clock.getDelayedCalls()), ([], []))


class WholeTests(DownloadTestCase):
    """Downloads that succeed."""

    def test_body_in_pieces(self) -> None:
        response = FakeResponse(length=6)
        waiting = self.download(response)
        for piece in (b"ab", b"cd", b"ef"):
            response.say(piece)
            self.assertNoResult(waiting)
            self.assertEqual(len(names_in(self.folder)), 1)
            self.assertRegex(names_in(self.folder)[0], r"^\.x\.mar\.[0-9a-f]{8}\.part$")
        response.end()
        self.successResultOf(waiting)
        self.assertEqual(names_in(self.folder), ["x.mar"])
        self.assertEqual((self.folder / "x.mar").read_bytes(), b"abcdef")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_body_without_length(self) -> None:
        for reason in (None, PotentialDataLoss()):
            self.successResultOf(self.download(FakeResponse().say(b"ab").end(reason)))
            (self.folder / "x.mar").unlink()

    def test_the_archive_is_asked_for_as_it_is(self) -> None:
        self.download()
        headers = dict(self.agent.requests[0][1].getAllRawHeaders())
        self.assertEqual(headers[b"Accept-Encoding"], [b"identity"])
        self.assertNotIn(b"Authorization", headers)

    def test_progress_is_logged_at_each_tenth(self) -> None:
        response = FakeResponse(length=100)
        self.download(response)
        for _ in range(20):
            response.say(b"x" * 5)
        self.assertEqual([event["size"] for event in self.events if "size" in event], [*range(10, 101, 10)])

    def test_progress_is_logged_every_ten_seconds(self) -> None:
        response = FakeResponse()
        self.download(response)
        for _ in range(8):
            self.clock.advance(5)
            response.say(b"x")
        logged = [(event["size"], event["total"]) for event in self.events if "size" in event]
        self.assertEqual(logged, [(size, "unknown") for size in (2, 4, 6, 8)])

    def test_free_bytes_are_asked_of_the_disk(self) -> None:
        self.assertGreater(free_bytes(self.folder), 0)


class RedirectTests(DownloadTestCase):
    """Redirects are followed where they may lead."""

    def test_five_redirects(self) -> None:
        hops = [FakeResponse(code, location=f"/{code}") for code in (301, 302, 303, 307, 308)]
        self.successResultOf(self.download(*hops, FakeResponse().say(b"ab").end()))
        self.assertEqual(names_in(self.folder), ["x.mar"])
        self.assertEqual(self.agent.urls[-1], "http://h/308")
        self.assertTrue(all(hop.closed for hop in hops))

    def test_six_redirects_are_too_many(self) -> None:
        hops = [FakeResponse(302, location="/x.mar") for _ in range(6)]
        self.assertEqual(self.failed(self.download(*hops)), "more than 5 redirects")

    def test_each_hop_is_checked(self) -> None:
        everywhere = UrlPolicy.parse("file://.*|http(s)?://.*")
        for location, policy in [
            ("http://127.0.0.1/x.mar", None),
            ("http://[::ffff:169.254.169.254]/x.mar", None),
            ("//localhost:8081/models", None),
            ("file:///etc/passwd", None),
            ("file:///etc/passwd", everywhere),
            ("ftp://h/x.mar", everywhere),
            ("http://i/x.mar", UrlPolicy.parse("http://h/.*")),
        ]:
            with self.subTest(location=location):
                self.agent.requests = []
                hop = FakeResponse(302, location=location)
                self.failureResultOf(self.download(hop, policy=policy), ArchiveNotFound)
                self.left_nothing()
                self.assertEqual((self.agent.urls, hop.closed), (["http://h/x.mar"], True))

    def test_location_in_raw_bytes(self) -> None:
        self.download(FakeResponse(302, location="/ü.mar"))
        self.assertEqual(self.agent.urls[-1], "http://h/%C3%BC.mar")
        self.failureResultOf(self.download(FakeResponse(302, location=b"http://\xff/x.mar")), ArchiveNotFound)

    def test_only_the_first_origin_gets_the_signature(self) -> None:
        hops = [
            FakeResponse(302, location=f"{origin}/y") for origin in ("http://h:80", "http://i", "http://h")
        ]
        self.download(*hops, sign=lambda url: {"Authorization": f"for {url}"})
        sent = [headers.getRawHeaders("authorization") for _, headers in self.agent.requests]
        self.assertEqual(sent, [["for http://h/x.mar"], ["for http://h/y"], None, ["for http://h/y"]])
        for other in ("https://h/", "http://h:81/"):
            self.agent.requests = []
            self.download(FakeResponse(302, location=other), sign=lambda url: {"Authorization": "x"})
            self.assertFalse(self.agent.requests[1][1].hasHeader("authorization"))


class FailureTests(DownloadTestCase):
    """Downloads that fail, and leave nothing."""

    def test_status_that_is_no_success(self) -> None:
        for code in (204, 206, 304, 403, 404, 500):
            self.assertEqual(self.failed(self.download(FakeResponse(code))), f"code: {code}")
        self.assertEqual(self.failed(self.download(FakeResponse(302))), "code: 302")

    def test_no_connection(self) -> None:
        waiting = self.download()
        self.agent.waiting[0].errback(ConnectionRefusedError("no"))
        self.assertIn("ConnectionRefusedError", self.failed(waiting))

    def test_innermost_reason_is_told(self) -> None:
        reason = ResponseFailed([Failure(ResponseFailed([Failure(ValueError("broken"))]))])
        response = FakeResponse(length=4).say(b"ab").end(reason)
        self.assertEqual(self.failed(self.download(response)), "ValueError: broken")

    def test_refused_address(self) -> None:
        waiting = self.download()
        self.agent.waiting[0].errback(AddressRefused("h", ip_address("127.0.0.1")))
        error = self.failureResultOf(waiting, ArchiveNotFound).value
        self.assertEqual(str(error), "Given URL http://h/x.mar does not match any allowed URL(s)")
        self.left_nothing()

    def test_length_that_lies(self) -> None:
        for length in (1, 3):
            response = FakeResponse(length=length).say(b"ab").end()
            self.assertIn("Content-Length", self.failed(self.download(response)))

    def test_too_large_by_its_own_word(self) -> None:
        response = FakeResponse(length=101)
        self.assertEqual(self.failed(self.download(response)), "larger than 100 bytes")
        self.assertTrue(response.closed)

    def test_endless_body(self) -> None:
        response = FakeResponse()
        waiting = self.download(response)
        for _ in range(10):
            response.say(b"x" * 10)
        self.assertNoResult(waiting)
        response.say(b"x")
        self.assertEqual(self.failed(waiting), "larger than 100 bytes")
        self.assertTrue(response.closed)

    def test_disk_that_is_too_small_for_it(self) -> None:
        self.free = 1049
        self.assertEqual(self.failed(self.download(FakeResponse(length=50))), "not enough free disk")
        self.free = 1050
        self.successResultOf(self.download(FakeResponse(length=50).say(b"x" * 50).end()))

    def test_disk_that_fills(self) -> None:
        response = FakeResponse()
        waiting = self.download(response)
        response.say(b"x")
        self.free = 1000
        response.say(b"x")
        self.assertEqual(self.failed(waiting), "not enough free disk")

    def test_folder_that_cannot_be_written(self) -> None:
        self.folder.rmdir()
        waiting = self.download()
        self.assertIn("not written", self.failureResultOf(waiting, DownloadFailed).value.reason)
        self.assertEqual(self.agent.requests, [])

    def test_file_that_is_there(self) -> None:
        (self.folder / "x.mar").write_bytes(b"old")
        error = self.failureResultOf(self.download(), ArchiveExists).value
        self.assertEqual(str(error), "Model file already exists x.mar")
        self.assertEqual((self.agent.requests, names_in(self.folder)), ([], ["x.mar"]))


class TimeTests(DownloadTestCase):
    """Downloads that take too long or are given up."""

    def test_no_response(self) -> None:
        waiting = self.download()
        self.clock.advance(16)
        self.assertEqual(self.failed(waiting), "timeout: nothing came for 16 s")

    def test_no_more_bytes(self) -> None:
        response = FakeResponse()
        waiting = self.download(response)
        for _ in range(3):
            self.clock.advance(15)
            response.say(b"x")
        self.assertNoResult(waiting)
        self.clock.advance(16)
        self.assertEqual(self.failed(waiting), "timeout: nothing came for 16 s")
        self.assertTrue(response.closed)

    def test_too_slow_in_all(self) -> None:
        response = FakeResponse()
        waiting = self.download(response)
        for _ in range(8):
            self.clock.advance(8)
            response.say(b"x")
        self.assertEqual(self.failed(waiting), "timeout: not complete after 64 s")
        self.assertTrue(response.closed)

    def test_cancelled_before_the_response(self) -> None:
        waiting = self.download()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError, DownloadFailed)
        self.left_nothing()

    def test_cancelled_within_the_body(self) -> None:
        response = FakeResponse().say(b"ab")
        waiting = self.download(response)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError, DownloadFailed)
        self.left_nothing()
        self.assertTrue(response.closed)

    def test_cancelled_while_a_thread_has_the_file(self) -> None:
        calls = ("open", "check the disk", "append", "publish")
        for held, thread_is_first in product(range(len(calls)), (True, False)):
            with self.subTest(held=calls[held], thread_is_first=thread_is_first):
                threads = HeldThreads()
                waiting = self.download(FakeResponse().say(b"ab").end(), in_thread=threads)
                for _ in range(held):
                    threads.run()
                waiting.cancel()
                self.assertNoResult(waiting)  # the file is still to be removed
                threads.run(0 if thread_is_first else 1)
                threads.run()
                self.failureResultOf(waiting, CancelledError, DownloadFailed)
                self.left_nothing()
