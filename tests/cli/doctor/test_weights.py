"""``doctor`` on an archive's weights: read, never loaded."""

from __future__ import annotations

import collections
import io
import pickle
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import TestCase

from modelserver.archive.manifest import Manifest
from modelserver.cli.doctor.archive import examine_archive
from modelserver.cli.doctor.examination import Examination, installed_version, usable_memory
from modelserver.cli.doctor.findings import Finding
from modelserver.cli.doctor.weights import about_python, about_weights
from modelserver.config.settings import Settings


class Net:
    """Stands for the class of a model."""


class WeightsTestCase(TestCase):
    """A folder with weights in it."""

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def zipped(self, files: Mapping[str, bytes]) -> None:
        """Write ``model.bin`` as a zip."""
        with zipfile.ZipFile(self.folder / "model.bin", "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)

    def findings(
        self, handler: str = "base_handler", torch: str | None = None, memory: int = 1 << 40,
        model_file: str | None = None, installed: tuple[str, ...] = (),
    ) -> list[Finding]:  # fmt: skip
        """What is found out about ``model.bin``."""
        examination = Examination(
            self.folder / "scratch",
            Settings(),
            importable=lambda name: name in installed,
            memory=lambda: memory,
            version_of=lambda package: torch,
        )
        manifest = Manifest(handler=handler, serialized_file="model.bin", model_file=model_file)
        return list(about_weights(manifest, self.folder, examination))


class FormatTests(WeightsTestCase):
    """Each format has its word."""

    def test_torchscript(self) -> None:
        self.zipped({"m/code/__torch__.py": b"", "m/data.pkl": b"", "m/constants.pkl": b""})
        for model_file, told in (
            (None, "run modelserver archive convert"),
            ("net.py", "makes"),
        ):
            finding = self.findings(model_file=model_file)[0]
            self.assertEqual((finding.verdict, finding.what), ("differs", "weights"))
            self.assertIn("deprecated since torch 2.10", finding.text)
            self.assertIn(told, finding.text)

    def test_programs_are_code(self) -> None:
        for name in ("m/data/aotinductor/model/x.so", "m/models/model.json"):
            self.zipped({name: b""})
            finding = self.findings()[0]
            self.assertEqual(finding.verdict, "works")
            self.assertIn("is code as a handler is", finding.text)

    def test_libraries_that_are_missing(self) -> None:
        (self.folder / "model.bin").write_bytes((2).to_bytes(8, "little") + b"{}")
        self.assertEqual(
            self.findings(model_file="net.py")[0],
            Finding("fails", "weights", "model.bin needs safetensors, which is not installed here."),
        )

    def test_safetensors_need_a_class(self) -> None:
        (self.folder / "model.bin").write_bytes((2).to_bytes(8, "little") + b"{}")
        lacking = "model.bin is safetensors, and the archive has no model file with their class."
        for handler, model_file, verdict, text in (
            ("base_handler", "net.py", "works", "model.bin (safetensors)"),
            ("mine.py", None, "works", "model.bin (safetensors)"),
            ("base_handler", None, "fails", lacking),
        ):
            found = self.findings(handler, model_file=model_file, installed=("safetensors",))
            self.assertEqual((found[0].verdict, found[0].text), (verdict, text))
        self.assertIn(Finding("fails", "weights", lacking), self.findings())

    def test_weights_that_are_absent(self) -> None:
        self.assertEqual(self.findings(), [])


class PickleTests(WeightsTestCase):
    """Whole modules and state dicts."""

    def pickled(self, value: object, protocol: int) -> bytes:
        """A pickle."""
        file = io.BytesIO()
        pickle.Pickler(file, protocol).dump(value)
        return file.getvalue()

    def test_whole_module_names_its_class(self) -> None:
        for protocol in (2, 4):
            self.zipped({"m/data.pkl": self.pickled(Net(), protocol)})
            for handler, verdict in (("base_handler", "fails"), ("mine.py:handle", "differs")):
                finding = self.findings(handler)[0]
                self.assertEqual(finding.verdict, verdict)
                self.assertIn(f"it needs {Net.__module__}.Net.", finding.text)
                self.assertIn("weights_only=False", finding.text)

    def test_oldest_format_is_several_pickles(self) -> None:
        first = self.pickled(1, 2)
        (self.folder / "model.bin").write_bytes(first + first + self.pickled(Net(), 2) + b"\x00tensors")
        self.assertIn("Net", self.findings()[0].text)

    def test_state_dict(self) -> None:
        self.zipped({"m/data.pkl": self.pickled(collections.OrderedDict(a=1), 2)})
        for handler, model_file, verdict in (
            ("base_handler", "net.py", "works"),
            ("mine.py", None, "works"),
            ("base_handler", None, "fails"),
        ):
            finding = self.findings(handler, model_file=model_file)[0]
            self.assertEqual(finding.verdict, verdict)
            self.assertIn("model.bin is a state dict", finding.text)

    def test_torch_that_does_not_keep_its_word(self) -> None:
        self.zipped({"m/data.pkl": self.pickled({}, 2)})
        for torch, advice in (("2.9.1", 1), ("2.10.0", 0), ("2.13.0+cpu", 0), ("nightly", 0), (None, 0)):
            told = [each.text for each in self.findings(torch=torch) if "CVE-2026-24747" in each.text]
            self.assertEqual(len(told), advice, torch)

    def test_broken_pickle_is_no_crash(self) -> None:
        for content in (b"\x80\x02", b"\x80\x02cno newline", b"", b"\x80\x04\x93."):
            self.zipped({"m/data.pkl": content})
            self.assertEqual(self.findings()[-1].what, "memory")


class MachineTests(WeightsTestCase):
    """Size, and the Python that compiled modules are for."""

    def test_size_against_memory(self) -> None:
        (self.folder / "model.bin").write_bytes(b"x" * 2_000_000)
        for memory, verdict in ((1_000_000, "fails"), (3_000_000, "differs"), (5_000_000, "works")):
            finding = self.findings(memory=memory)[-1]
            self.assertEqual((finding.verdict, finding.what), (verdict, "memory"))
        self.assertIn("model.bin has 2.0 MB, this machine 5.0 MB", finding.text)

    def test_modules_for_another_python(self) -> None:
        here = "".join(map(str, sys.version_info[:2]))
        for name in ("a.cpython-27-x86_64-linux-gnu.so", f"b.cpython-{here}-x86_64-linux-gnu.so", "c.so"):
            (self.folder / name).write_bytes(b"")
        (finding,) = about_python(self.folder)
        self.assertEqual((finding.verdict, finding.what), ("fails", "Python"))
        self.assertIn("is for Python 2.7", finding.text)

    def test_this_machine(self) -> None:
        self.assertGreater(usable_memory(), 0)
        self.assertEqual(installed_version("no-such-package-here"), None)
        self.assertIsNotNone(installed_version("twisted"))

    def test_report_of_an_archive_has_them(self) -> None:
        (self.folder / "m" / "MAR-INF").mkdir(parents=True)
        manifest = '{"model": {"modelName": "m", "serializedFile": "w.bin", "handler": "base_handler"}}'
        (self.folder / "m" / "MAR-INF" / "MANIFEST.json").write_text(manifest)
        (self.folder / "m" / "w.bin").write_bytes(b"x")
        report = examine_archive(self.folder / "m", Examination(self.folder / "scratch", Settings()))
        self.assertIn(("works", "memory"), {(each.verdict, each.what) for each in report.findings})
