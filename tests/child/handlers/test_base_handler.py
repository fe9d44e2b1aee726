"""The base handler: what it loads, and the steps from rows to answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from modelserver.child.context import Context, PredictionException, RequestProcessor
from modelserver.child.handlers import BUILT_IN
from modelserver.child.handlers.base_handler import BaseHandler
from modelserver.child.handlers.weights import run_session
from modelserver.child.loading.loader import only_class
from modelserver.child.metrics.mms import MetricsStore
from modelserver.child.metrics.torchserve import HandlerMetrics
from tests.harness.handler_metrics import drained
from tests.harness.packages import needs_torch

DOUBLE = """
import torch

class Double(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(2.0))

    def forward(self, x):
        return x * self.factor
"""


class ArchiveTestCase(SynchronousTestCase):
    """Makes unpacked archives, and contexts for them."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.addCleanup(sys.modules.pop, "double_model", None)
        catcher = warnings.catch_warnings()
        catcher.__enter__()
        self.addCleanup(catcher.__exit__, None, None, None)
        warnings.simplefilter("ignore", DeprecationWarning)

    def context_for(
        self,
        rows: int = 1,
        headers: dict[str, object] | None = None,
        config: dict[str, object] | None = None,
        gpu: int | None = None,
        **model: object,
    ) -> Context:
        """A context for the archive in ``folder``."""
        manifest: dict[str, object] = {"model": {"modelName": "m", **model}}
        context = Context(
            "m",
            str(self.folder),
            manifest,
            1,
            gpu,
            "1",
            metrics=HandlerMetrics(model_name="m"),
            model_yaml_config=config,
        )
        context.request_processor = [RequestProcessor(headers or {}) for _ in range(rows)]
        context.request_ids = {place: f"id-{place}" for place in range(rows)}
        return context

    def write_model(self, text: str = DOUBLE) -> None:
        """Put a model file into the archive."""
        (self.folder / "double_model.py").write_text(text)

    def save_script(self, name: str = "model.pt") -> None:
        """Put a TorchScript model that doubles into the archive."""
        import torch

        class Twice(torch.nn.Module):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return x * 2

        torch.jit.script(Twice()).save(str(self.folder / name))

    def loaded(self, handler: BaseHandler | None = None, **more: Any) -> Any:
        """A handler that was initialized."""
        handler = handler or BaseHandler()
        self.context = self.context_for(**more)
        handler.initialize(self.context)
        return handler


class LoadingTests(ArchiveTestCase):
    """Models come from a model file, from TorchScript, and from others."""

    def check_doubles(self, handler: BaseHandler) -> None:
        """It answers rows with twice their values."""
        context = self.context_for(2)
        answer = handler.handle([{"body": [1.0, 2.0]}, {"data": [3.0, 4.0]}], context)
        self.assertEqual(answer, [[2.0, 4.0], [6.0, 8.0]])

    @needs_torch
    def test_torchscript(self) -> None:
        self.save_script()
        handler = self.loaded(serializedFile="model.pt")
        self.check_doubles(handler)
        self.assertTrue(handler.initialized)
        self.assertEqual(handler.model_pt_path, str(self.folder / "model.pt"))
        self.assertEqual((handler.map_location, str(handler.device)), ("cpu", "cpu"))
        self.assertEqual(handler.get_device(), handler.device)
        self.assertIsNone(handler.mapping)

    @needs_torch
    def test_model_file_with_weights(self) -> None:
        import torch

        self.write_model()
        torch.save({"factor": torch.tensor(3.0)}, self.folder / "weights.pth")
        handler = self.loaded(modelFile="double_model.py", serializedFile="weights.pth")
        self.assertEqual(handler.handle([{"body": [1.0]}], self.context), [[3.0]])
        self.assertFalse(handler.model.training)

    @needs_torch
    def test_model_file_without_weights(self) -> None:
        self.write_model()
        self.check_doubles(self.loaded(modelFile="double_model.py"))

    @needs_torch
    def test_weights_without_their_class_are_told_from_a_broken_file(self) -> None:
        import torch

        torch.save({"factor": torch.tensor(3.0)}, self.folder / "model.pt")
        (self.folder / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
        for name, found in (("model.pt", "torch.save"), ("model.safetensors", "safetensors")):
            error = self.assertRaises(RuntimeError, self.loaded, serializedFile=name)
            told = f"{name} ({found}) holds weights, and the archive has no modelFile with the class"
            self.assertTrue(str(error).startswith(told), str(error))

    @needs_torch
    def test_model_file_must_hold_one_class(self) -> None:
        self.write_model(DOUBLE + "class Other: pass\n")
        self.assertRaises(ValueError, self.loaded, modelFile="double_model.py")
        self.assertRaises(FileNotFoundError, self.loaded, modelFile="absent.py")

    def test_onnx(self) -> None:
        try:
            import onnx
            import onnxruntime  # noqa: F401  # only whether it is there
        except ImportError:
            raise SkipTest("needs onnx and onnxruntime") from None
        two = onnx.helper.make_tensor("two", onnx.TensorProto.FLOAT, [], [2.0])
        shape = ["n", "m"]
        graph = onnx.helper.make_graph(
            [onnx.helper.make_node("Mul", ["x", "two"], ["y"])],
            "double",
            [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
            [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, shape)],
            [two],
        )
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
        onnx.save(model, str(self.folder / "model.onnx"))
        self.check_doubles(self.loaded(serializedFile="model.onnx"))

    @needs_torch
    def test_inputs_of_a_session_that_numpy_does_not_take_as_they_are(self) -> None:
        import torch

        session: Any = SimpleNamespace(
            get_inputs=lambda: [SimpleNamespace(name="x")], run=lambda _, arrays: [2 * arrays["x"]]
        )
        for value in (torch.tensor([1 + 2j]).conj().imag, torch.tensor([-2.0], requires_grad=True)):
            result: Any = run_session(session, value)
            self.assertEqual(result.tolist(), [-4.0])

    @needs_torch
    def test_nothing_to_load(self) -> None:
        self.assertRaises(RuntimeError, self.loaded)
        self.assertRaises(RuntimeError, self.loaded, serializedFile="absent.pt")

    @needs_torch
    def test_gpu_number_without_a_gpu(self) -> None:
        self.save_script()
        self.assertEqual(str(self.loaded(serializedFile="model.pt", gpu=1).device), "cpu")

    @needs_torch
    def test_labels(self) -> None:
        self.save_script()
        (self.folder / "index_to_name.json").write_text(json.dumps({"0": "cat", "1": ["n1", "dog"]}))
        self.assertEqual(self.loaded(serializedFile="model.pt").mapping, {"0": "cat", "1": "dog"})

    @needs_torch
    def test_handler_with_an_init_of_its_own(self) -> None:
        class Bare(BaseHandler):
            def __init__(self) -> None:
                pass

        self.save_script()
        self.check_doubles(self.loaded(Bare(), serializedFile="model.pt"))


@needs_torch
class HandlingTests(ArchiveTestCase):
    """The steps of a request."""

    def setUp(self) -> None:
        super().setUp()
        self.save_script()

    def test_time_is_measured(self) -> None:
        handler = self.loaded(serializedFile="model.pt")
        handler.handle([{"body": [1]}], self.context)
        (record,) = drained(self.context)
        self.assertEqual(
            (record["name"], record["unit"], record["type"], record["request_id"], record["dimensions"]),
            ("HandlerTime", "Milliseconds", "gauge", "id-0", [["ModelName", "m"], ["Level", "Model"]]),
        )

    def test_steps_are_measured_on_demand(self) -> None:
        handler = self.loaded(serializedFile="model.pt", config={"handler": {"profile": True}})
        handler.handle([{"body": [1]}], self.context)
        self.assertEqual(
            [record["name"] for record in drained(self.context)],
            ["ts_handler_preprocess", "ts_handler_inference", "ts_handler_postprocess", "HandlerTime"],
        )

    def test_describe(self) -> None:
        class Described(BaseHandler):
            def describe_handle(self) -> object:
                return {"about": "me"}

        handler = self.loaded(Described(), serializedFile="model.pt")
        context = self.context_for(headers={"describe": "True"})
        self.assertEqual(handler.handle([{"body": None}], context), [{"about": "me"}])
        self.assertEqual(BaseHandler().describe_handle(), None)

    def test_explain(self) -> None:
        class Explained(BaseHandler):
            def get_insights(self, tensor: Any, inputs: object, target: object) -> list[object]:
                return [tensor.tolist(), inputs, target]

        handler = self.loaded(Explained(), serializedFile="model.pt")
        context = self.context_for(headers={"explain": "True"})
        self.assertEqual(
            handler.handle([{"body": [1.0], "target": bytearray(b"2")}], context), [[[1.0]], [1.0], 2]
        )
        self.assertTrue(handler.explain)
        self.assertEqual(
            handler.handle([{"body": [1.0], "target": 1}, {"body": [2.0]}], context),
            [[[1.0], [2.0]], [[1.0], [2.0]], [1, 0]],
        )

    def test_handler_that_cannot_explain(self) -> None:
        handler = self.loaded(serializedFile="model.pt")
        context = self.context_for(headers={"Explain": "True"})
        error = self.assertRaises(PredictionException, handler.handle, [{"body": [1.0]}], context)
        self.assertEqual(error.error_code, 501)

    def test_context_without_requests(self) -> None:
        handler = self.loaded(serializedFile="model.pt", rows=0)
        self.assertEqual(handler.handle([[1.0]], self.context), [[2.0]])

    def test_profiler(self) -> None:
        traced: list[object] = []
        os.environ["ENABLE_TORCH_PROFILER"] = "true"
        self.addCleanup(os.environ.pop, "ENABLE_TORCH_PROFILER")
        handler = self.loaded(serializedFile="model.pt")
        handler.profiler_args = {"on_trace_ready": traced.append}
        self.assertEqual(handler.handle([{"body": [1.0]}], self.context), [[2.0]])
        self.assertEqual(len(traced), 1)
        # As in the tests of TorchServe's own handlers.
        nameless = SimpleNamespace(metrics=None, get_request_header=lambda idx, key: None)
        self.assertEqual(handler.handle([{"body": [1.0]}], nameless), [[2.0]])
        self.assertEqual(len(traced), 2)

    def test_profiler_writes_a_trace_unless_told_what_to_do_with_it(self) -> None:
        os.environ["ENABLE_TORCH_PROFILER"] = "true"
        self.addCleanup(os.environ.pop, "ENABLE_TORCH_PROFILER")
        self.patch(tempfile, "tempdir", self.mktemp())
        handler = self.loaded(serializedFile="model.pt", modelName="in-the-archive")
        for options in ({}, {"record_shapes": False}):
            handler.profiler_args = options
            handler.handle([{"body": [1.0]}], self.context)
        traces = Path(tempfile.gettempdir(), "pytorch_profiler", "in-the-archive").glob("*.pt.trace.json")
        self.assertEqual(len(list(traces)), 2)

    def test_minimal_context_of_a_handlers_own_tests(self) -> None:
        class Minimal:
            def __init__(self, folder: Path) -> None:
                self.manifest = {"model": {"serializedFile": "model.pt"}}
                self.system_properties = {"model_dir": str(folder)}
                self.metrics = MetricsStore(uuid4(), "m")

            def get_request_header(self, idx: int, key: str) -> bool:
                return False

        os.environ["ENABLE_TORCH_PROFILER"] = "true"
        self.addCleanup(os.environ.pop, "ENABLE_TORCH_PROFILER")
        self.patch(tempfile, "tempdir", self.mktemp())
        self.save_script()
        handler: Any = BaseHandler()
        context: Any = Minimal(self.folder)
        handler.initialize(context)
        self.assertEqual(handler.handle([[1.0]], context), [[2.0]])


class BuiltInTests(SynchronousTestCase):
    """Every built-in name leads to a module of one class, as the loader wants it."""

    def test_each_has_one_class(self) -> None:
        for name, module in BUILT_IN.items():
            __import__(module)
            self.assertTrue(issubclass(only_class(sys.modules[module]), BaseHandler), name)

    def test_none_of_them_imports_torch(self) -> None:
        script = (
            f"import sys\nfor name in {list(BUILT_IN.values())}: __import__(name)\n"
            "assert not {'torch', 'numpy', 'PIL', 'yaml'} & set(sys.modules), sys.modules"
        )
        subprocess.run([sys.executable, "-c", script], check=True, timeout=30)
