"""What the server and its models say about themselves, as any front is told."""

from __future__ import annotations

from unittest import TestCase

import modelserver
from modelserver.core.registry import Registry
from modelserver.errors import ModelNotFound, VersionNotFound
from modelserver.inference.metadata import ModelMetadata, ServerMetadata, model_metadata
from modelserver.testing.providers import Stage, make_spec

TENSOR = {"name": "x", "datatype": "FP32", "shape": [-1, 3]}


class MetadataTests(TestCase):
    """Values of the Open Inference Protocol."""

    def setUp(self) -> None:
        self.registry = Registry()
        stage = Stage()
        self.registry.add(stage.version(make_spec("m", version="1.0")))
        config = {"inputs": [TENSOR], "outputs": "none of these"}
        self.registry.add(stage.version(make_spec("m", version="2.0", engine="onnx", config=config)))

    def test_server(self) -> None:
        self.assertEqual(ServerMetadata().version, modelserver.__version__)

    def test_the_default_version(self) -> None:
        self.assertEqual(model_metadata(self.registry, "m"), ModelMetadata("m", ("1.0", "2.0"), "pytorch"))

    def test_a_named_version_with_tensors(self) -> None:
        self.assertEqual(
            model_metadata(self.registry, "m", "2.0"), ModelMetadata("m", ("1.0", "2.0"), "onnx", [TENSOR])
        )

    def test_what_is_not_served(self) -> None:
        self.assertRaises(ModelNotFound, model_metadata, self.registry, "n")
        self.assertRaises(VersionNotFound, model_metadata, self.registry, "m", "3.0")
