"""The handlers are packed as each server wants them."""

from __future__ import annotations

import json
import tempfile
import zipfile
from pathlib import Path
from unittest import TestCase

from bench.archives import HANDLERS, lay_out, pack


class ArchiveTests(TestCase):
    """Zips and folders with a manifest."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.store = Path(folder.name)

    def manifest(self, shape: str) -> dict[str, dict[str, str]]:
        with zipfile.ZipFile(pack("noop", self.store, shape)) as archive:
            found: dict[str, dict[str, str]] = json.loads(archive.read("MAR-INF/MANIFEST.json"))
            self.assertEqual(archive.read("noop.py"), (HANDLERS / "noop.py").read_bytes())
            return found

    def test_torchserve_names_the_file(self) -> None:
        self.assertEqual(self.manifest("torchserve")["model"]["handler"], "noop.py")

    def test_mms_names_module_and_function(self) -> None:
        self.assertEqual(self.manifest("mms")["model"]["handler"], "noop:handle")

    def test_a_folder_links_its_large_files(self) -> None:
        weights = self.store / "weights.pt"
        weights.write_bytes(b"w")
        folder = lay_out("large", self.store, "torchserve", (weights,))
        self.assertTrue((folder / "weights.pt").samefile(weights))
        self.assertTrue((folder / "large.py").exists())
