"""``doctor`` reads the sections of model-config.yaml as workers do."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import TestCase

from modelserver.archive.manifest import Manifest
from modelserver.cli.doctor.findings import Finding
from modelserver.cli.doctor.model_sections import about_sections

PROGRAM = "m/models/model.json"
PACKAGE = "m/data/aotinductor/model/x.so"


class SectionsTests(TestCase):
    """``pt2`` and ``warmup``."""

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def findings(
        self, config: Mapping[str, object], content: str = "m/data.pkl", handler: str = "base_handler"
    ) -> list[Finding]:
        """What is found of an archive whose weights hold one file."""
        with zipfile.ZipFile(self.folder / "model.bin", "w") as archive:
            archive.writestr(content, b"")
        manifest = Manifest(handler=handler, serialized_file="model.bin")
        return list(about_sections(manifest, self.folder, config))

    def test_nothing_is_wrong(self) -> None:
        (self.folder / "example.json").write_text("1")
        for config in (
            {},
            {"warmup": {"shapes": [[4]]}, "pt2": "inductor"},
            {"warmup": {"file": "example.json"}, "pt2": {"compile": {"enable": True}}},
            {"pt2": {"run": "compiled", "batch": {"max": 8}, "device": "cpu"}},
            {"pt2": {"backend": "inductor", "mode": "default"}},
            {"pt2": {"export": {"aot_compile": True}}},
        ):
            for content in (PROGRAM, PACKAGE, "m/data.pkl"):
                with self.subTest(config=config, content=content):
                    self.assertEqual(self.findings(config, content), [])

    def test_wrong_pt2_of_a_program_or_package(self) -> None:
        for section, text in (
            ({"run": "sideways"}, "pt2: run is eager or compiled, not 'sideways'."),
            ({"batches": 2}, "pt2 has batch, device, run, compile, export; not batches."),
            ({"batch": "2"}, "pt2: batch is a size or {min: ..., max: ...}, not '2'."),
            ({"device": 0}, "pt2: device is a name like cpu or cuda:0, not 0."),
        ):
            for content in (PROGRAM, PACKAGE):
                with self.subTest(section=section, content=content):
                    found = self.findings({"pt2": section}, content)
                    self.assertEqual(found, [Finding("fails", "model-config.yaml", text)])

    def test_pt2_of_a_model_file_is_read_as_the_peer_does(self) -> None:
        self.assertEqual(self.findings({"pt2": {"batches": 2}}), [])
        self.assertEqual(self.findings({"pt2": {"run": "sideways"}})[0].verdict, "fails")

    def test_wrong_warm_up(self) -> None:
        for section, text in (
            ({}, "warmup needs shapes or file, one of them."),
            ({"file": "absent.json"}, "warmup: file names absent.json, which is not in the archive."),
            ({"shapes": [[1]], "size": 1}, "warmup has shapes, dtype, file, batchSizes, calls; not size."),
        ):
            with self.subTest(section=section):
                found = self.findings({"warmup": section})
                self.assertEqual(found, [Finding("fails", "model-config.yaml", text)])

    def test_handler_of_the_archive_may_read_it_otherwise(self) -> None:
        (found,) = self.findings({"warmup": {"rounds": 3}}, handler="handler.py")
        self.assertEqual(found.verdict, "differs")
        self.assertIn("not rounds: refused where the handler is a BaseHandler", found.text)

    def test_word_instead_of_a_section_is_ignored(self) -> None:
        (found,) = self.findings({"warmup": True})
        self.assertEqual((found.verdict, found.what), ("ignored", "model-config.yaml"))
