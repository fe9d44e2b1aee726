"""A URL is downloaded once for all who want it, and its file goes with the last of them."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from modelserver.errors import ArchiveExists, ArchiveNotFound, DownloadFailed, StoreNotConfigured
from modelserver.interfaces import InThread
from modelserver.sources.download import Downloader
from modelserver.sources.http import HttpSource
from modelserver.sources.url_policy import UrlPolicy
from tests.harness.sources import FakeAgent, FakeResponse, HeldThreads, names_in
from tests.harness.threads import at_once

URL = "http://h/x.mar"


class HttpTestCase(SynchronousTestCase):
    """A source whose agent the test plays."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.agent = FakeAgent()
        self.source = self.make(self.folder)

    def make(self, folder: Path | None, in_thread: InThread = at_once) -> HttpSource:
        """A source over a folder."""
        downloader = Downloader(self.agent, Clock(), in_thread, UrlPolicy())
        return HttpSource(folder, UrlPolicy(), downloader, in_thread)

    def answer(self, index: int = 0) -> None:
        """Let a request have its whole response."""
        self.agent.waiting.pop(index).callback(FakeResponse().say(b"archive").end())

    def downloaded(self, url: str = URL) -> Path:
        """Download it, with nothing else going on."""
        waiting = self.source.fetch(url)
        self.answer()
        return self.successResultOf(waiting)


class FetchTests(HttpTestCase):
    """What a URL gives."""

    def test_file_has_the_last_component_as_its_name(self) -> None:
        for url, name in [
            (URL, "x.mar"),
            ("https://bucket.example/a/b/noop-1.0.tar.gz?X-Amz-Signature=a/b.mar", "noop-1.0.tar.gz"),
            ("http://h/my%20model+1.mar", "my model+1.mar"),
        ]:
            path = self.downloaded(url)
            self.assertEqual(path, self.folder / name)
            self.assertEqual(path.read_bytes(), b"archive")

    def test_urls_without_a_file_name(self) -> None:
        for url in (
            *("http://h", "http://h/", "http://h/a/", "http://h/.hidden", "http://h/a%2Fb", "http://h/x%00"),
            *(
                "http://h/" + "x" * 201,
                "http://h/x.",
                "http://h/%20x",
                "http://h/x%20",
                "http://h/%C3%BC.mar",
            ),
        ):
            self.failureResultOf(self.source.fetch(url), DownloadFailed)
        self.assertEqual(self.agent.urls, [])

    def test_urls_that_are_not_allowed(self) -> None:
        for url in ("http://127.0.0.1/x.mar", "file:///x.mar", "x.mar", "ftp://h/x.mar"):
            self.failureResultOf(self.source.fetch(url), ArchiveNotFound)
        self.assertEqual(self.agent.urls, [])

    def test_no_store(self) -> None:
        self.failureResultOf(self.make(None).fetch(URL), StoreNotConfigured)

    def test_file_that_was_there_before(self) -> None:
        (self.folder / "x.mar").write_bytes(b"mine")
        error = self.failureResultOf(self.source.fetch(URL), ArchiveExists).value
        self.assertEqual(error.file, "x.mar")
        self.assertEqual((self.folder / "x.mar").read_bytes(), b"mine")

    def test_after_a_failure_it_is_tried_anew(self) -> None:
        waiting = self.source.fetch(URL)
        self.agent.waiting.pop().callback(FakeResponse(500))
        self.failureResultOf(waiting, DownloadFailed)
        self.assertEqual(self.downloaded(), self.folder / "x.mar")


class AdoptionTests(HttpTestCase):
    """Files that a server before this one has downloaded."""

    def adopted(self, url: str = URL) -> Deferred[Path]:
        return Deferred.fromCoroutine(self.source.adopt(url))

    def setUp(self) -> None:
        super().setUp()
        (self.folder / "x.mar").write_bytes(b"archive")

    def test_it_goes_with_its_last_user(self) -> None:
        path = self.successResultOf(self.adopted())
        self.assertEqual(self.successResultOf(self.source.fetch(URL)), path)
        self.assertEqual(self.successResultOf(self.adopted("http://h:80/x.mar")), path)
        self.assertEqual(self.agent.urls, [])
        for left in (True, True, False):
            self.successResultOf(self.source.release(path))
            self.assertEqual(path.exists(), left)

    def test_it_may_be_left_for_the_next_server(self) -> None:
        path = self.successResultOf(self.adopted())
        self.successResultOf(self.source.release(path, keeps_file=True))
        self.assertTrue(path.exists())
        self.failureResultOf(self.source.fetch(URL), ArchiveExists)
        self.assertEqual(self.successResultOf(self.adopted()), path)

    def test_it_is_not_there(self) -> None:
        self.failureResultOf(self.adopted("http://h/y.mar"), ArchiveNotFound)
        self.assertEqual(self.downloaded("http://h/y.mar"), self.folder / "y.mar")

    def test_its_url_is_not_allowed_any_more(self) -> None:
        self.failureResultOf(self.adopted("http://127.0.0.1/x.mar"), ArchiveNotFound)

    def test_another_url_has_it(self) -> None:
        self.successResultOf(self.adopted())
        self.failureResultOf(self.adopted("http://other/x.mar"), ArchiveExists)
        self.failureResultOf(self.source.fetch("http://other/x.mar"), ArchiveExists)

    def test_it_is_being_downloaded(self) -> None:
        (self.folder / "x.mar").unlink()
        self.source.fetch(URL).addErrback(lambda failure: failure.trap(CancelledError))
        (self.folder / "x.mar").write_bytes(b"half")
        self.failureResultOf(self.adopted(), ArchiveExists)


class SharingTests(HttpTestCase):
    """Several registrations of one URL."""

    def test_at_once_download_once(self) -> None:
        both = [self.source.fetch(URL), self.source.fetch("HTTP://H:80/./x.mar")]
        self.assertEqual(self.agent.urls, [URL])
        self.answer()
        for waiting in both:
            self.assertEqual(self.successResultOf(waiting), self.folder / "x.mar")

    def test_at_once_fail_together(self) -> None:
        both = [self.source.fetch(URL), self.source.fetch(URL)]
        self.agent.waiting.pop().callback(FakeResponse(404))
        for waiting in both:
            self.assertEqual(self.failureResultOf(waiting, DownloadFailed).value.reason, "code: 404")
        self.assertEqual(names_in(self.folder), [])

    def test_later_share_the_file(self) -> None:
        path = self.downloaded()
        self.assertEqual(self.successResultOf(self.source.fetch(URL)), path)
        self.assertEqual(self.agent.urls, [URL])

    def test_one_may_leave(self) -> None:
        leaving, staying = self.source.fetch(URL), self.source.fetch(URL)
        leaving.cancel()
        self.failureResultOf(leaving, CancelledError)
        self.assertNoResult(staying)
        self.answer()
        self.release(self.successResultOf(staying))
        self.assertEqual(names_in(self.folder), [])

    def test_when_all_have_left_the_download_ends(self) -> None:
        both = [self.source.fetch(URL), self.source.fetch(URL)]
        response = FakeResponse().say(b"arch")
        self.agent.waiting.pop().callback(response)
        for waiting in both:
            waiting.cancel()
            self.failureResultOf(waiting, CancelledError)
        self.assertTrue(response.closed)
        self.assertEqual(names_in(self.folder), [])
        self.downloaded()

    def test_another_url_with_the_same_file_name_is_a_conflict(self) -> None:
        first = self.source.fetch(URL)
        self.failureResultOf(self.source.fetch("http://i/x.mar"), ArchiveExists)
        self.answer()
        self.failureResultOf(self.source.fetch("http://h/x.mar?v=2"), ArchiveExists)
        self.release(self.successResultOf(first))
        self.downloaded("http://i/x.mar")

    def test_unsigned_and_signed_downloads_are_not_shared_while_they_run(self) -> None:
        first = self.source.fetch(URL)
        self.failureResultOf(self.source.fetch(URL, sign), ArchiveExists)
        self.answer()
        path = self.successResultOf(first)
        self.assertEqual(self.successResultOf(self.source.fetch(URL, sign)), path)

    def test_one_that_is_left_by_another_is_given_back(self) -> None:
        second: Deferred[Path]
        first = self.source.fetch(URL)
        first.addCallback(lambda path: second.cancel())
        second = self.source.fetch(URL)
        self.answer()
        self.successResultOf(first)
        self.failureResultOf(second, CancelledError)
        self.release(self.folder / "x.mar")
        self.assertEqual(names_in(self.folder), [])

    def release(self, path: Path) -> None:
        self.successResultOf(self.source.release(path))


class ReleaseTests(HttpTestCase):
    """What was downloaded goes, and nothing else."""

    def test_last_user_deletes_the_file(self) -> None:
        path = self.downloaded()
        self.successResultOf(self.source.fetch(URL))
        self.successResultOf(self.source.release(path))
        self.assertEqual(names_in(self.folder), ["x.mar"])
        self.successResultOf(self.source.release(path))
        self.assertEqual(names_in(self.folder), [])
        self.downloaded()

    def test_other_files_stay(self) -> None:
        (self.folder / "mine.mar").write_bytes(b"")
        path = self.downloaded()
        for other in (self.folder / "mine.mar", self.folder / "sub" / "x.mar"):
            self.successResultOf(self.source.release(other))
        self.assertEqual(names_in(self.folder), ["mine.mar", "x.mar"])
        self.successResultOf(self.source.release(path))
        self.successResultOf(self.source.release(path))
        self.assertEqual(names_in(self.folder), ["mine.mar"])

    def test_release_during_a_download_changes_nothing(self) -> None:
        waiting = self.source.fetch(URL)
        self.successResultOf(self.source.release(self.folder / "x.mar"))
        self.answer()
        self.assertEqual(self.successResultOf(waiting), self.folder / "x.mar")

    def test_file_that_is_gone_already(self) -> None:
        path = self.downloaded()
        path.unlink()
        self.successResultOf(self.source.release(path))

    def test_file_that_cannot_be_deleted_is_logged(self) -> None:
        path = self.downloaded()
        path.unlink()
        path.mkdir()
        self.successResultOf(self.source.release(path))
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_new_download_waits_for_the_deletion(self) -> None:
        threads = HeldThreads()
        self.source = self.make(self.folder, threads)
        waiting = self.source.fetch(URL)
        threads.run_all()
        self.answer()
        threads.run_all()
        gone = self.source.release(self.successResultOf(waiting))
        again = self.source.fetch(URL)
        self.assertEqual(len(threads.calls), 1)
        threads.run()
        self.successResultOf(gone)
        self.assertEqual(names_in(self.folder), [])
        threads.run_all()
        self.answer()
        threads.run_all()
        self.assertEqual(self.successResultOf(again), self.folder / "x.mar")
        self.assertEqual(names_in(self.folder), ["x.mar"])

    def test_new_download_waits_for_one_that_was_given_up(self) -> None:
        threads = HeldThreads()
        self.source = self.make(self.folder, threads)
        given_up = self.source.fetch(URL)
        given_up.cancel()
        self.failureResultOf(given_up, CancelledError)
        again = self.source.fetch(URL)
        threads.run_all()
        self.answer()
        threads.run_all()
        self.assertEqual(self.successResultOf(again), self.folder / "x.mar")
        self.assertEqual(names_in(self.folder), ["x.mar"])


def sign(url: str) -> dict[str, str]:
    """A signature."""
    return {}
