"""What Triton's extensions tell of models, as any front is told."""

from __future__ import annotations

from unittest import TestCase

from modelserver.core.queues.deadlines import Deadlines
from modelserver.core.registry import Registry
from modelserver.errors import ModelNotFound, VersionNotFound
from modelserver.inference.model_extensions import ModelExtensions
from modelserver.inference.predict import Inference
from modelserver.inference.workflows import AnyInference
from modelserver.metrics.figures import Figures, VersionFigures
from modelserver.testing.providers import Stage, make_spec
from modelserver.version_settings.values import AUTO_DELAY, Batching

INPUTS = [
    {"name": "x", "datatype": "FP32", "shape": [-1, 3]},
    {"name": "text", "datatype": "BYTES", "shape": [1]},
    {"name": "odd", "datatype": "COMPLEX", "shape": ["n", True, 4]},
    "no tensor",
]
COUNTED = VersionFigures(
    requests=(3, 6, 1), seconds=2.5, queued=0.5, handled={1: (2, 0.25), 4: (2, 0.125)}, batched=10
)


class ExtensionsTests(TestCase):
    """Configurations and statistics."""

    def setUp(self) -> None:
        self.registry, self.stage = Registry(), Stage()
        inference = Inference(
            self.registry,
            Deadlines(self.stage.clock),
            self.stage.clock,
            self.stage.recorder,
            lambda size: b"",
        )
        figures = Figures(versions={("m", "2.0"): COUNTED})
        self.extensions = ModelExtensions(AnyInference(inference), lambda: figures)
        first = make_spec("m", version="1.0", batching=Batching(size=4, max_delay=AUTO_DELAY))
        self.registry.add(self.stage.version(first))
        second = make_spec("m", version="2.0", engine="onnx", config={"inputs": INPUTS})
        self.registry.add(self.stage.version(second))
        self.registry.add(self.stage.version(make_spec("other", version="1.0")))

    def test_tensors_have_tritons_types(self) -> None:
        told = self.extensions.configuration("m", "2.0")
        self.assertEqual(
            told["input"],
            [
                {"name": "x", "data_type": "TYPE_FP32", "dims": [-1, 3]},
                {"name": "text", "data_type": "TYPE_STRING", "dims": [1]},
                {"name": "odd", "data_type": "TYPE_INVALID", "dims": [4]},
            ],
        )
        self.assertEqual((told["platform"], told["backend"], told["output"]), ("onnx", "onnx", []))

    def test_workers_by_device_and_settings(self) -> None:
        version = self.registry.get("m", "1.0")
        version.pool.scale(2, 2)
        told = self.extensions.configuration("m")
        self.assertEqual(told["instance_group"], [{"name": "m_0", "kind": "KIND_CPU", "count": 2}])
        parameters = told["parameters"]
        assert isinstance(parameters, dict)
        found = {name: value["string_value"] for name, value in parameters.items()}
        self.assertEqual(
            (found["version"], found["batch_size"], found["max_batch_delay"]), ("1.0", "4", "auto")
        )
        self.assertEqual((found["min_worker"], found["max_worker"]), ("2", "2"))

    def test_what_was_counted(self) -> None:
        (told,) = self.statistics("m", "2.0")
        self.assertEqual(
            told,
            {
                "name": "m",
                "version": "2.0",
                "inference_count": 10,
                "execution_count": 4,
                "inference_stats": {
                    "success": {"count": 10, "ns": 2_500_000_000},
                    "queue": {"count": 10, "ns": 500_000_000},
                    "compute_input": {"count": 10, "ns": 0},
                    "compute_infer": {"count": 10, "ns": 750_000_000},
                    "compute_output": {"count": 10, "ns": 1_250_000_000},
                },
                "batch_stats": [
                    {"batch_size": 1, "compute_infer": {"count": 2, "ns": 250_000_000}},
                    {"batch_size": 4, "compute_infer": {"count": 2, "ns": 125_000_000}},
                ],
            },
        )

    def test_all_versions_and_all_models(self) -> None:
        def names(*asked: str) -> list[tuple[object, object]]:
            return [(each["name"], each["version"]) for each in self.statistics(*asked)]

        self.assertEqual(names("m"), [("m", "1.0"), ("m", "2.0")])
        self.assertEqual(names(), [("m", "1.0"), ("m", "2.0"), ("other", "1.0")])
        self.assertEqual(self.statistics("m", "1.0")[0]["inference_count"], 0)

    def test_what_is_not_served(self) -> None:
        for ask in (self.extensions.configuration, self.extensions.statistics):
            self.assertRaises(ModelNotFound, ask, "n")
            self.assertRaises(VersionNotFound, ask, "m", "3.0")

    def statistics(self, *asked: str) -> list[dict[str, object]]:
        """The statistics of what is asked for."""
        told = self.extensions.statistics(*asked)["model_stats"]
        assert isinstance(told, list)
        return told
