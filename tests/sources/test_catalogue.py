"""What is found in a model store."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import TestCase

from modelserver.sources.catalogue import archives_in, locate, models_in


class CatalogueTests(TestCase):
    """A store of every layout."""

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.store = Path(folder.name, "store")
        for name in (
            *("a.mar", "b.tar.gz", ".half.mar", "notes.txt", "../outside.mar"),
            *("open/MAR-INF/MANIFEST.json", "agent/served.mar", "agent/SUCCESS.0"),
            *("kserve/model-store/k.mar", "kserve/config/config.properties"),
            *("two/x.mar", "two/y.mar", "none/weights.pt", ".hidden/z.mar"),
        ):
            file = self.store / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()

    def test_archives(self) -> None:
        self.assertEqual(["a.mar", "b.tar.gz", "open"], archives_in(self.store))

    def test_models_by_name(self) -> None:
        found = {
            "a": "a.mar",
            "b": "b.tar.gz",
            "open": "open",
            "agent": str(self.store / "agent/served.mar"),
            "kserve": str(self.store / "kserve/model-store/k.mar"),
        }
        self.assertEqual(found, models_in(self.store))
        for name, url in found.items():
            self.assertEqual(url, locate(self.store, name))

    def test_what_is_no_model_is_not_found(self) -> None:
        outside = ("../outside", "..", ".", "", "/", "a/../a", "..\\outside", "\0", str(self.store / "a"))
        for name in ("two", "none", "notes", ".half", ".hidden", "A", *outside):
            self.assertIsNone(locate(self.store, name), name)

    def test_an_archive_goes_before_a_folder(self) -> None:
        (self.store / "agent.mar").touch()
        self.assertEqual("agent.mar", models_in(self.store)["agent"])

    def test_no_store(self) -> None:
        for store in (None, self.store / "nowhere"):
            self.assertEqual([], archives_in(store))
            self.assertEqual({}, models_in(store))
