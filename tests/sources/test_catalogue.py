"""What is found in a model store."""

from __future__ import annotations

import os
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

    def test_a_name_that_no_file_can_have(self) -> None:
        for length in (252, 300, 5000):
            self.assertIsNone(locate(self.store, "a" * length))

    def test_a_folder_that_nobody_may_look_into(self) -> None:
        # A volume's own lost+found is root's alone.
        (self.store / "lost+found").mkdir(mode=0o000)
        self.addCleanup((self.store / "lost+found").chmod, 0o700)
        if os.geteuid() == 0:  # who may look everywhere
            self.addCleanup(os.chdir, os.getcwd())
            os.chdir(self.store)
            self.store.chmod(0o755)
            self.addCleanup(os.seteuid, 0)
            os.seteuid(65534)
            self.store = Path()
        self.assertEqual(["a.mar", "b.tar.gz", "open"], archives_in(self.store))
        self.assertNotIn("lost+found", models_in(self.store))
        self.assertIsNone(locate(self.store, "lost+found"))

    def test_an_archive_goes_before_a_folder(self) -> None:
        (self.store / "agent.mar").touch()
        self.assertEqual("agent.mar", models_in(self.store)["agent"])

    def test_no_store(self) -> None:
        for store in (None, self.store / "nowhere"):
            self.assertEqual([], archives_in(store))
            self.assertEqual({}, models_in(store))
