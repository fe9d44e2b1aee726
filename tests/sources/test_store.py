"""The model store gives what lies in it, and nothing else."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from modelserver.errors import ArchiveNotFound, StoreNotConfigured
from modelserver.sources.store import StoreSource
from tests.harness.threads import at_once

DOTS = [
    *("../x.mar", "a/../x.mar", "..", "x..mar", "..\\x.mar", "a\\..\\x.mar", "file:///store/../x.mar"),
    *("%2e%2e/x.mar", "%2E./x.mar", ".%2e%2fx.mar", "%252e%252e/x.mar", "%25252e%25252e%255cx.mar"),
    *("\u2025/x.mar", "\uff0e\uff0e/x.mar", "%EF%BC%8E%EF%BC%8E/x.mar", "\u2024\u2024/x.mar"),
    *("%c0%ae%c0%ae/x.mar", "%e0%80%ae%e0%80%ae%c0%afx.mar", "http://h/../x.mar", "http://h/%2e%2e/x.mar"),
    "%" + "25" * 20 + "2e",
]


class StoreTestCase(SynchronousTestCase):
    """A store with an archive beside a file that is none of its."""

    def setUp(self) -> None:
        self.top = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.top)
        self.store = self.top / "store"
        self.store.mkdir()
        (self.top / "secret.mar").write_bytes(b"secret")
        (self.store / "noop.mar").write_bytes(b"PK")
        self.source = StoreSource(self.store, at_once)

    def refused(self, url: str) -> ArchiveNotFound:
        """The error for a URL that leads nowhere."""
        error = self.failureResultOf(self.source.fetch(url), ArchiveNotFound).value
        assert isinstance(error, ArchiveNotFound)
        return error


class FoundTests(StoreTestCase):
    """What can be had."""

    def test_files_and_folders_by_name(self) -> None:
        (self.store / "noop.tar.gz").write_bytes(b"")
        (self.store / "folder").mkdir()
        for name in ("noop.mar", "noop.tar.gz", "folder"):
            self.assertEqual(self.successResultOf(self.source.fetch(name)), self.store / name)

    def test_folders_before_the_name_are_dropped(self) -> None:
        for url in ("sub/dir/noop.mar", "./noop.mar", "sub\\noop.mar", "s3:noop/noop.mar", "noop.mar/"):
            self.assertEqual(self.successResultOf(self.source.fetch(url)), self.store / "noop.mar", url)

    def test_absolute_paths_elsewhere_are_a_name_in_the_store(self) -> None:
        """A client on another machine, or outside a container, knows the store by its own path."""
        elsewhere = self.top / "other" / "noop.mar"
        elsewhere.parent.mkdir()
        elsewhere.write_bytes(b"")
        for url in ("/mnt/models/noop.mar", "//noop.mar", str(elsewhere), "/mnt/noop.mar/"):
            self.assertEqual(self.successResultOf(self.source.fetch(url)), self.store / "noop.mar", url)

    def test_file_urls_and_absolute_paths_inside_the_store(self) -> None:
        nested = self.store / "sub" / "my model.mar"
        nested.parent.mkdir()
        nested.write_bytes(b"")
        for url in (f"file://{self.store}/sub/my%20model.mar", f"FILE://localhost{nested}", str(nested)):
            self.assertEqual(self.successResultOf(self.source.fetch(url)), nested)

    def test_symbolic_links_that_stay_inside(self) -> None:
        (self.store / "latest.mar").symlink_to("noop.mar")
        link = self.top / "link"
        link.symlink_to(self.store)
        for store in (self.store, link):
            source = StoreSource(store, at_once)
            self.assertEqual(self.successResultOf(source.fetch("latest.mar")), store / "latest.mar")

    def test_links_of_the_store_to_anywhere(self) -> None:
        """Storage initialisers and TorchServe's tooling fill a store with links: the operator's word."""
        built = self.top / "built"
        (built / "nested").mkdir(parents=True)
        (built / "nested" / "deep.mar").write_bytes(b"PK")
        (self.store / "sub").mkdir()
        links = {"out.mar": self.top / "secret.mar", "folder": built, "sub/far.mar": self.top / "secret.mar"}
        for name, target in links.items():
            (self.store / name).symlink_to(target)
        (self.store / "twice.mar").symlink_to("out.mar")
        for name in ("out.mar", "folder", "twice.mar"):
            self.assertEqual(self.successResultOf(self.source.fetch(name)), self.store / name)
        for path in ("out.mar", "sub/far.mar", "folder/nested/deep.mar"):
            for url in (f"{self.store}/{path}", f"file://{self.store}/{path}"):
                self.assertEqual(self.successResultOf(self.source.fetch(url)), self.store / path)


class RefusedTests(StoreTestCase):
    """What cannot be had, and the peers' words for it."""

    def test_no_store(self) -> None:
        source = StoreSource(None, at_once)
        for url in ("noop.mar", "", "../x"):
            self.failureResultOf(source.fetch(url), StoreNotConfigured)

    def test_empty_url(self) -> None:
        self.assertEqual(str(self.refused("")), "empty url")

    def test_dots_in_any_encoding(self) -> None:
        for url in DOTS:
            self.assertEqual(str(self.refused(url)), f"Relative path is not allowed in url: {url}")

    def test_nothing_of_that_name(self) -> None:
        for url in ("missing.mar", "noop", "NOOP.mar", ".", "./", "/", "%6eoop.mar", "nöop.mar", "a" * 300):
            error = self.refused(url)
            self.assertEqual((str(error), error.reason), (f"Model not found at: {url}", ""))

    def test_absolute_paths_outside(self) -> None:
        outside = self.top / "secret.mar"
        for url in (
            *(str(outside), f"/{outside}", f"file://{outside}", str(self.top), f"file://{self.top}/"),
            *("/etc/passwd", "file:///etc/passwd", "file://host/x.mar", "C:\\noop.mar", "C:/noop.mar"),
            *("\\\\host\\noop.mar", str(self.store), f"file://{self.store}", f"{self.store}2/x.mar"),
        ):
            self.refused(url)

    def test_absolute_paths_outside_that_the_operator_has_written(self) -> None:
        """SageMaker's toolkits start the server with ``--models model=/opt/ml/model``."""
        outside = self.top / "model"
        outside.mkdir()
        anywhere = StoreSource(self.store, at_once, anywhere=True)
        for url in (str(outside), f"file://{outside}"):
            self.assertEqual(self.successResultOf(anywhere.fetch(url)), outside)
        for url in (f"{outside}/../model", str(self.top / "missing"), "/"):
            self.failureResultOf(anywhere.fetch(url), ArchiveNotFound)

    def test_other_schemes(self) -> None:
        for url in ("s3://bucket/noop.mar", "http://h/noop.mar", "ftp://h/noop.mar"):
            self.refused(url)

    def test_control_characters(self) -> None:
        for url in ("noop.mar\x00", "\x00/noop.mar", "noop.mar\n", f"file://{self.store}/noop.mar%00"):
            self.refused(url)

    def test_hidden_files_which_may_be_half_downloads(self) -> None:
        (self.store / ".noop.mar.0a.part").write_bytes(b"")
        for url in (".noop.mar.0a.part", f"{self.store}/.noop.mar.0a.part"):
            self.refused(url)

    def test_symbolic_links_that_lead_nowhere_or_around_the_store(self) -> None:
        (self.store / "up").symlink_to(self.top)
        (self.store / "loop").symlink_to("loop")
        (self.store / "self").symlink_to(self.store)
        (self.store / "gone").symlink_to("missing")
        for url in ("up", f"{self.store}/up/secret.mar", "loop", "self", "gone", f"{self.store}/self"):
            self.refused(url)

    def test_links_in_a_folder_that_is_linked_stay_in_it(self) -> None:
        (self.top / "built").mkdir()
        (self.top / "built" / "out.mar").symlink_to(self.top / "secret.mar")
        (self.store / "built").symlink_to(self.top / "built")
        self.refused(f"{self.store}/built/out.mar")
        self.refused(str(self.top / "built" / "out.mar"))

    def test_fifos_and_devices_are_not_opened(self) -> None:
        os.mkfifo(self.store / "fifo.mar")  # to open it would block this test
        (self.store / "null.mar").symlink_to("/dev/null")
        self.refused("fifo.mar")
        self.refused("null.mar")
