"""``modelserver archive convert`` without torch: what it orders, and what it packs."""

from __future__ import annotations

import io
import json
import zipfile
from argparse import ArgumentParser
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import TestCase

from modelserver.cli.archivers.convert import CONVERTER, add_convert_arguments, run_convert

RESULT = {
    "batches": "1 to 64",
    "compared": [1, 16],
    "largestDifference": 1e-7,
    "loadSeconds": {"eager": 0.5, "pt2": 0.25},
    "measuredBatch": 16,
    "callSeconds": {"eager": 0.002, "pt2": 0.001},
}


class ConvertTests(TestCase):
    """The command, with a converter that only notes what it is told."""

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.orders: list[dict[str, Any]] = []
        self.result: dict[str, Any] | None = RESULT

    def archive(self, config: str = "", **model: str) -> Path:
        """An archive with a model file."""
        path = self.folder / "m.mar"
        named = {"modelName": "m", "modelFile": "net.py", "serializedFile": "w.pth", **model}
        if config:
            named["configFile"] = "model-config.yaml"
        with zipfile.ZipFile(path, "w") as packed:
            manifest = {"model": {name: value for name, value in named.items() if value}, "mine": 1}
            packed.writestr("MAR-INF/MANIFEST.json", json.dumps(manifest))
            packed.writestr("model-config.yaml", config)
            for name in ("net.py", "w.pth", "index_to_name.json"):
                packed.writestr(name, "x")
        return path

    def run_converter(self, command: Sequence[str]) -> int:
        """Note the order, and make what a converter makes."""
        self.assertEqual(command[1:3], ["-m", CONVERTER])
        order = json.loads(Path(command[3]).read_text())
        self.orders.append(order)
        if self.result is None:
            return 9
        Path(order["target"]).write_bytes(b"program")
        Path(command[4]).write_text(json.dumps(self.result))
        return 0

    def convert(self, *words: str, status: int = 0) -> str:
        """Run the command; what it prints."""
        parser = ArgumentParser()
        add_convert_arguments(parser)
        arguments = parser.parse_args([*words, "--export-path", str(self.folder)])
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            self.assertEqual(run_convert(arguments, self.run_converter), status, err.getvalue())
        return out.getvalue() + err.getvalue()

    def packed(self) -> tuple[dict[str, Any], set[str]]:
        """The manifest and the files of the new archive."""
        with zipfile.ZipFile(self.folder / "m-pt2.mar") as archive:
            return json.loads(archive.read("MAR-INF/MANIFEST.json")), set(archive.namelist())

    def test_new_archive_has_the_program_in_place_of_class_and_weights(self) -> None:
        printed = self.convert(str(self.archive(handler="base_handler")), "--shape", "3,8")
        manifest, files = self.packed()
        self.assertEqual(
            manifest,
            {"mine": 1, "model": {"modelName": "m", "serializedFile": "w.pt2", "handler": "base_handler"}},
        )
        self.assertEqual(
            files,
            {"MAR-INF/MANIFEST.json", "conversion.json", "index_to_name.json", "model-config.yaml", "w.pt2"},
        )
        for told in ("0.500 s before, 0.250 s now", "2.000 ms before, 1.000 ms now", "difference 1e-07"):
            self.assertIn(told, printed)

    def test_handler_of_the_archives_own_keeps_the_class(self) -> None:
        self.convert(str(self.archive(handler="mine.py")), "--shape", "3")
        manifest, files = self.packed()
        self.assertIn("net.py", files)
        self.assertNotIn("modelFile", manifest["model"])

    def test_order(self) -> None:
        self.convert(
            str(self.archive()), "--shape", "3,8", "--shape", "2", "--dtype", "int64", "--batch", "4"
        )
        (order,) = self.orders
        self.assertEqual(order["example"], {"shapes": [[3, 8], [2]], "dtype": "int64"})
        self.assertEqual((order["least"], order["most"], order["is_compiled"]), (4, 4, False))
        self.assertEqual((order["model_file"], order["weights"]), ("net.py", "w.pth"))

    def test_example_from_the_archive(self) -> None:
        self.convert(str(self.archive("warmup: {shapes: [[5]]}")), "--compile", "--batch", "2-8")
        (order,) = self.orders
        self.assertEqual(order["example"], {"shapes": [[5]]})
        self.assertEqual((order["least"], order["most"], order["is_compiled"]), (2, 8, True))

    def test_nothing_is_made_without_what_is_needed(self) -> None:
        self.assertIn("An example is needed", self.convert(str(self.archive()), status=1))
        body = self.archive("warmup: {file: kitten.jpg}")
        self.assertIn("An example is needed", self.convert(str(body), status=1))
        self.assertIn(
            "no model file", self.convert(str(self.archive(modelFile="")), "--shape", "3", status=1)
        )
        self.assertEqual(self.orders, [])

    def test_failures_of_the_converter(self) -> None:
        self.result = {"error": "GuardOnDataDependentSymNode: cannot tell"}
        self.assertIn("cannot tell", self.convert(str(self.archive()), "--shape", "3", status=1))
        self.result = None
        self.assertIn("status 9", self.convert(str(self.archive()), "--shape", "3", status=1))
        self.assertFalse((self.folder / "m-pt2.mar").exists())

    def test_words_that_are_no_sizes(self) -> None:
        for words in (("--shape", "3x4"), ("--batch", "0"), ("--batch", "4-2"), ("--batch", "x")):
            with redirect_stderr(io.StringIO()), self.assertRaises(SystemExit):
                self.convert(str(self.archive()), *words)
