"""Bases of handlers of models that span several ranks, and what they say where a package is absent."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any
from unittest import TestCase

import pytest

from modelserver.child.context import Context
from modelserver.child.handlers.deepspeed_engine import get_ds_engine
from modelserver.child.handlers.distributed_handlers import BaseDeepSpeedHandler, BasePippyHandler
from modelserver.child.handlers.pipelines import get_pipeline_driver
from modelserver.child.handlers.vllm_handler import VLLMHandler

torch = pytest.importorskip("torch")
MODEL = torch.nn.Linear(1, 1)


def context(folder: str = "/nowhere", **config: object) -> Context:
    """The context of a model with this model-config.yaml."""
    return Context("big", folder, None, 1, None, "1", model_yaml_config=dict(config))


class AbsentPackagesTests(TestCase):
    """What needs a package says which one."""

    def test_pippy(self) -> None:
        self.assertRaisesRegex(ImportError, "torchpippy", get_pipeline_driver, MODEL, 2, context())

    def test_deepspeed(self) -> None:
        self.assertRaisesRegex(ImportError, "deepspeed", get_ds_engine, MODEL, context())

    def test_vllm(self) -> None:
        self.assertRaisesRegex(ImportError, "vLLM", VLLMHandler().initialize, context())


class BasesTests(TestCase):
    """Base handlers outside of torchrun."""

    def test_deepspeed_takes_a_device(self) -> None:
        handler = BaseDeepSpeedHandler()
        handler.initialize(context())
        assert handler.device is not None
        self.assertEqual(handler.device.type, "cuda" if torch.cuda.is_available() else "cpu")

    def test_pippy_needs_ranks(self) -> None:
        self.assertRaisesRegex(RuntimeError, "parallelType", BasePippyHandler().initialize, context())


class EngineTests(TestCase):
    """DeepSpeed is told what model-config.yaml says."""

    def setUp(self) -> None:
        calls: list[tuple[Any, dict[str, Any]]] = []
        self.calls = calls
        module = ModuleType("deepspeed")

        def init_inference(model: object, **how: object) -> str:
            calls.append((model, how))
            return "engine"

        module.init_inference = init_inference  # type: ignore[attr-defined]  # what the package has
        sys.modules["deepspeed"] = module
        self.addCleanup(sys.modules.pop, "deepspeed")

    def test_engine(self) -> None:
        with TemporaryDirectory() as folder:
            weights = Path(folder) / "weights"
            weights.mkdir()
            for name in ("b.bin", "a.pt", "readme.md"):
                (weights / name).touch()
            (Path(folder) / "ds.json").write_text("{}")
            section = {"config": "ds.json", "checkpoint": "checkpoints.json"}
            engine = get_ds_engine(
                MODEL, context(folder, deepspeed=section, handler={"model_path": str(weights)})
            )
            written = json.loads((Path(folder) / "checkpoints.json").read_text())
        self.assertEqual("engine", engine)
        ((model, how),) = self.calls
        self.assertIs(model, MODEL)
        self.assertEqual(
            {
                "config": f"{folder}/ds.json",
                "base_dir": str(weights),
                "checkpoint": f"{folder}/checkpoints.json",
            },
            how,
        )
        self.assertEqual(
            {
                "type": "ds_model",
                "checkpoints": [str(weights / "a.pt"), str(weights / "b.bin")],
                "version": 1.0,
            },
            written,
        )

    def test_configuration_that_lacks_something(self) -> None:
        handler = {"model_path": "/w"}
        configs: tuple[dict[str, Any], ...] = (
            {},
            {"deepspeed": {}},
            {"handler": handler},
            {"deepspeed": {"config": "absent.json"}, "handler": handler},
        )
        for config in configs:
            self.assertRaises(ValueError, get_ds_engine, MODEL, context(**config))
