"""``doctor`` on ONNX files whose weights are in other files."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import TestCase

from modelserver.archive.manifest import Manifest
from modelserver.cli.doctor.examination import Examination
from modelserver.cli.doctor.findings import Finding
from modelserver.cli.doctor.onnx_files import external_files
from modelserver.cli.doctor.weights import about_weights
from modelserver.config.settings import Settings
from modelserver.protocol.wire_format import length_field, text_field, varint_field

GRAPH, INITIALIZER, NODE, ATTRIBUTE, TENSOR, SUBGRAPH = 7, 5, 1, 5, 5, 6


def external(location: str) -> bytes:
    """A tensor whose bytes are in another file."""
    entries = [("offset", "0"), ("location", location)]
    fields = [length_field(13, text_field(1, key) + text_field(2, value)) for key, value in entries]
    return varint_field(1, 3) + text_field(8, "w") + b"".join(fields) + varint_field(14, 1)


def model(graph: bytes) -> bytes:
    """A model with a graph, and fields around it that are of no interest here."""
    opset = length_field(8, text_field(1, "") + varint_field(2, 17))
    return varint_field(1, 8) + text_field(2, "pytorch") + length_field(GRAPH, graph) + opset


def nested(graph: bytes) -> bytes:
    """A graph whose one node has another graph, as a branch of an If."""
    return length_field(NODE, length_field(ATTRIBUTE, length_field(SUBGRAPH, graph)))


class OnnxTestCase(TestCase):
    """A folder with ``m.onnx`` in it."""

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.path = self.folder / "m.onnx"

    def findings(self, *installed: str) -> list[Finding]:
        """What is found out about the weights, but for their size."""
        examination = Examination(
            self.folder / "scratch", Settings(), importable=lambda name: name in installed
        )
        manifest = Manifest(handler="base_handler", serialized_file="m.onnx")
        found = about_weights(manifest, self.folder, examination)
        return [each for each in found if each.what == "weights"]


class ExternalFileTests(OnnxTestCase):
    """Names are found wherever tensors may be."""

    def test_places(self) -> None:
        tensor = external("m.onnx.data")
        inside = text_field(8, "w") + length_field(9, b"\x6a\x02\x0a\x00" * 9)
        for graph, expected in (
            (
                length_field(INITIALIZER, tensor) * 2 + length_field(INITIALIZER, external("b")),
                {"m.onnx.data", "b"},
            ),
            (length_field(NODE, length_field(ATTRIBUTE, length_field(TENSOR, tensor))), {"m.onnx.data"}),
            (nested(nested(length_field(INITIALIZER, tensor))), {"m.onnx.data"}),
            (length_field(INITIALIZER, inside), set()),
        ):
            self.path.write_bytes(model(graph))
            self.assertEqual(external_files(self.path), expected)

    def test_what_is_no_onnx(self) -> None:
        deep = length_field(INITIALIZER, external("m.onnx.data"))
        for _ in range(40):
            deep = nested(deep)
        for content in (b"", b"no model at all", model(deep)):
            self.path.write_bytes(content)
            self.assertRaises(ValueError, external_files, self.path)

    def test_many_messages_take_no_memory(self) -> None:
        self.path.write_bytes(model(length_field(NODE, b"") * 100_000))
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        self.assertEqual(external_files(self.path), set())
        self.assertLess(tracemalloc.get_traced_memory()[1], 1_000_000)


class FindingTests(OnnxTestCase):
    """An archive without the file beside it does not work."""

    def setUp(self) -> None:
        super().setUp()
        self.path.write_bytes(model(length_field(INITIALIZER, external("m.onnx.data"))))

    def test_file_that_was_left_behind(self) -> None:
        (finding,) = self.findings("onnxruntime")
        self.assertEqual(finding.verdict, "fails")
        self.assertIn("m.onnx keeps weights in m.onnx.data, which the archive lacks", finding.text)

    def test_file_that_is_there(self) -> None:
        (self.folder / "m.onnx.data").write_bytes(b"\0" * 12)
        self.assertEqual(self.findings("onnxruntime"), [Finding("works", "weights", "m.onnx (ONNX)")])
        self.assertEqual(
            self.findings(),
            [Finding("fails", "weights", "m.onnx needs onnxruntime, which is not installed here.")],
        )

    def test_file_outside_is_not_in_the_archive(self) -> None:
        with TemporaryDirectory() as elsewhere:
            (Path(elsewhere) / "w").write_bytes(b"\0")
            for name in (f"{elsewhere}/w", f"../{Path(elsewhere).name}/w"):
                self.path.write_bytes(model(length_field(INITIALIZER, external(name))))
                self.assertIn("which the archive lacks", self.findings("onnxruntime")[0].text)

    def test_names_that_no_file_can_have(self) -> None:
        for name in ("w" * 300, "w\0w", ""):
            self.path.write_bytes(model(length_field(INITIALIZER, external(name))))
            self.assertIn("which the archive lacks", self.findings("onnxruntime")[0].text)

    def test_file_that_cannot_be_read(self) -> None:
        self.path.write_bytes(b"no model at all")
        (finding,) = self.findings("onnxruntime")
        self.assertEqual(finding.verdict, "fails")
        self.assertIn("cannot be read as ONNX", finding.text)
