"""Where registrations may have archives from, by the configuration."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import cast

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from modelserver.config.settings import Settings
from modelserver.errors import ArchiveNotFound
from modelserver.server.resources import Runtime
from modelserver.server.sources import make_sources
from modelserver.sources.router import Fetched
from tests.harness.threads import at_once


class FileTests(SynchronousTestCase):
    """A file outside of the store, by a ``file://`` URL."""

    def setUp(self) -> None:
        made = TemporaryDirectory()
        self.addCleanup(made.cleanup)
        self.folder = Path(made.name).resolve()
        self.store = self.folder / "store"
        self.store.mkdir()
        self.archive = self.folder / "shared" / "m.mar"
        self.archive.parent.mkdir()
        self.archive.write_bytes(b"PK")

    def fetch(self, url: str, *allowed: str) -> Deferred[Fetched]:
        """Have a registration look for a URL."""
        runtime = SimpleNamespace(threads=SimpleNamespace(archives=at_once, files=at_once), environment={})
        sources = make_sources(Settings(allowed_urls=allowed), cast(Runtime, runtime), self.store)
        return sources.fetch(url)

    def refused(self, url: str, *allowed: str) -> str:
        """Return why a registration does not find anything."""
        return str(self.failureResultOf(self.fetch(url, *allowed), ArchiveNotFound).value)

    def test_a_pattern_of_the_operator_allows_it(self) -> None:
        for url in (f"file://{self.archive}", f"file:///{self.archive}"):
            found = self.successResultOf(self.fetch(url, f"file://{self.folder}/shared/.*", "file:////.*"))
            self.assertEqual(self.archive, found.path)

    def test_without_a_pattern_it_is_refused(self) -> None:
        self.assertIn("not found", self.refused(f"file://{self.archive}"))

    def test_what_no_pattern_matches_is_refused(self) -> None:
        for url in (f"file://{self.archive}", f"file://{self.folder}/shared/../shared/m.mar"):
            self.refused(url, "file:///elsewhere/.*", "https://.*")

    def test_a_path_is_no_url(self) -> None:
        self.refused(str(self.archive), "file://.*")
