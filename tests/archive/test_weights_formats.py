"""Files of weights are known by their content."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from modelserver.archive.weights_formats import WeightsFormat, compiled_models, weights_format
from tests.harness.packages import needs_torch


class FormatTests(SynchronousTestCase):
    """What is in the file decides, not what it is called."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def zipped(self, *names: str) -> Path:
        """A zip with empty files."""
        path = self.folder / "model.bin"
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, b"")
        return path

    def written(self, content: bytes, name: str = "model.bin") -> Path:
        """A file with some content."""
        path = self.folder / name
        path.write_bytes(content)
        return path

    def test_archives_by_the_names_in_them(self) -> None:
        for names, found in (
            (("m/data/aotinductor/model/x.so", "m/version"), WeightsFormat.COMPILED_PACKAGE),
            (("data/aotinductor/model/x.so",), WeightsFormat.COMPILED_PACKAGE),
            (("m/models/model.json", "m/data/weights/w"), WeightsFormat.EXPORTED_PROGRAM),
            (("serialized_exported_program.json", "version"), WeightsFormat.EXPORTED_PROGRAM),
            (("m/code/__torch__.py", "m/data.pkl", "m/constants.pkl"), WeightsFormat.TORCHSCRIPT),
            (("m/data.pkl", "m/data/0"), WeightsFormat.PICKLE),
            (("data.csv",), WeightsFormat.OTHER),
            (("a/b/c/data.pkl",), WeightsFormat.OTHER),
        ):
            with self.subTest(names=names):
                self.assertIs(weights_format(self.zipped(*names)), found)

    def test_other_files_by_their_first_bytes(self) -> None:
        header = json.dumps({}).encode()
        tensors = len(header).to_bytes(8, "little") + header
        for content, name, found in (
            (b"\x7fELF\x02", "model.pt2", WeightsFormat.SHARED_LIBRARY),
            (tensors, "model.bin", WeightsFormat.SAFETENSORS),
            ((1 << 40).to_bytes(8, "little") + b"{", "model.bin", WeightsFormat.OTHER),
            (b"\x80\x02\x8a\n", "model.pt", WeightsFormat.PICKLE),
            (b"\x80", "model.pt", WeightsFormat.OTHER),
            (b"\x08\x08", "model.onnx", WeightsFormat.ONNX),
            (b"", "model.pt", WeightsFormat.OTHER),
        ):
            with self.subTest(content=content):
                self.assertIs(weights_format(self.written(content, name)), found)

    def test_what_cannot_be_read_is_unknown(self) -> None:
        self.assertIs(weights_format(self.folder / "absent.pt2"), WeightsFormat.OTHER)
        self.assertIs(weights_format(self.folder), WeightsFormat.OTHER)

    def test_models_of_a_package(self) -> None:
        names = ["m/data/aotinductor/b/x.so", "m/data/aotinductor/a/x.so", "m/data/aotinductor/a/x.cpp"]
        self.assertEqual(compiled_models(names), ["a", "b"])
        self.assertEqual(compiled_models(["m/version"]), [])

    @needs_torch
    def test_files_that_torch_writes(self) -> None:
        import warnings

        import torch

        path = self.folder / "model.bin"
        linear = torch.nn.Linear(2, 2)
        torch.save(linear.state_dict(), path)
        self.assertIs(weights_format(path), WeightsFormat.PICKLE)
        torch.save(linear.state_dict(), path, _use_new_zipfile_serialization=False)
        self.assertIs(weights_format(path), WeightsFormat.PICKLE)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.jit.script(linear).save(str(path))
        self.assertIs(weights_format(path), WeightsFormat.TORCHSCRIPT)
