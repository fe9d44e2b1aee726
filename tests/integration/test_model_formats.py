"""
Every format of ``serializedFile`` with a real server: its answers are those of the model in this process.

``MODELSERVER_COMPILES=1`` has them run: a package is compiled, which may take minutes. ONNX is skipped
without ``onnx`` and ``onnxruntime``. Each test prints how long its registration took.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar
from unittest import SkipTest, TestCase

import pytest

from modelserver.child.handlers.weights import import_file
from tests.harness.packages import needs_torch
from tests.harness.server_process import ROOT, ServerProcess

pytestmark = [pytest.mark.xdist_group("model_formats"), pytest.mark.timeout(600)]

SOURCE = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.a = torch.nn.Linear(4, 8)
        self.b = torch.nn.Linear(8, 3)

    def forward(self, x):
        return self.b(torch.relu(self.a(x)))
"""
SIZE = 4
FIXED = 2


@needs_torch
class FormatTests(TestCase):
    """One server without a compiler on its path; each test packs an archive, registers it and asks."""

    server: ClassVar[ServerProcess]
    network: ClassVar[Any]
    model_file: ClassVar[Path]

    @classmethod
    def setUpClass(cls) -> None:
        """Start the server."""
        if os.environ.get("MODELSERVER_COMPILES") != "1":
            raise SkipTest("takes long: MODELSERVER_COMPILES=1 has it run")
        import torch

        folder = TemporaryDirectory(prefix="modelserver-test-")
        cls.addClassCleanup(folder.cleanup)
        properties = {"disable_token_authorization": "true", "enable_model_api": "true"}
        paths = os.pathsep.join(filter(None, (ROOT, os.environ.get("PYTHONPATH"))))
        environment = {"PATH": "/nowhere", "PYTHONPATH": paths}
        cls.server = ServerProcess(Path(folder.name), properties, environment=environment)
        cls.server.store.mkdir()
        cls.server.start()
        cls.addClassCleanup(cls.server.end)
        cls.model_file = Path(folder.name) / "format_net.py"
        cls.model_file.write_text(SOURCE)
        torch.manual_seed(3)
        cls.network = import_file(str(cls.model_file)).Net().eval()

    def check(self, name: str, save: Callable[[Path], object], has_class: bool = False, suffix: str = "pt",
              config: str = "batchSize: 4\nmaxBatchDelay: 50\n") -> None:  # fmt: skip
        """Register what ``save`` writes, and compare answers to three requests at once and to one."""
        import torch

        weights = self.server.folder / f"{name}.{suffix}"
        save(weights)
        self.server.add_model(
            name,
            "",
            config,
            handler="base_handler",
            serialized_file=str(weights),
            model_file=str(self.model_file) if has_class else None,
        )
        started = time.perf_counter()
        answer = self.server.register(f"{name}.mar")
        seconds = time.perf_counter() - started
        self.assertEqual(answer.status, 200, answer.text)
        print(f"\n{name}: registered in {seconds:.2f} s, {weights.stat().st_size:,} bytes")
        rows = torch.rand(3, SIZE)
        with torch.inference_mode():
            expected = self.network(rows)
        self.compare(expected.tolist(), [self.ask(name, row) for row in rows.tolist()])
        with ThreadPoolExecutor(len(rows)) as threads:
            together = list(threads.map(lambda row: self.ask(name, row), rows.tolist()))
        self.compare(expected.tolist(), together)

    def ask(self, name: str, row: Sequence[float]) -> Any:
        """The answer to one request."""
        answer = self.server.inference(
            "POST", f"/predictions/{name}", json.dumps(row).encode(), {"Content-Type": "application/json"}
        )
        self.assertEqual(answer.status, 200, answer.text)
        return answer.json()

    def compare(self, expected: Sequence[Sequence[float]], answers: Sequence[Sequence[float]]) -> None:
        """They are equal, but for rounding."""
        for one, two in zip(expected, answers, strict=True):
            for number, other in zip(one, two, strict=True):
                self.assertAlmostEqual(number, other, 5)

    def program(self, most: int | None = None) -> Any:
        """The exported network: for batches of two, or of 1 to ``most``."""
        import torch

        shapes = None if most is None else ({0: torch.export.Dim("batch", min=1, max=most)},)
        return torch.export.export(self.network, (torch.rand(FIXED, SIZE),), dynamic_shapes=shapes)

    def test_eager(self) -> None:
        import torch

        self.check("eager", lambda path: torch.save(self.network.state_dict(), path), has_class=True)

    def test_safetensors(self) -> None:
        try:
            from safetensors.torch import save_model
        except ImportError:
            raise SkipTest("needs safetensors") from None
        self.check("tensors", lambda path: save_model(self.network, str(path)), has_class=True)

    def test_torchscript(self) -> None:
        import torch

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            self.check("script", lambda path: torch.jit.script(self.network).save(str(path)))

    def test_exported(self) -> None:
        import torch

        self.check("program", lambda path: torch.export.save(self.program(8), str(path)), suffix="pt2")
        self.check("fixed", lambda path: torch.export.save(self.program(), str(path)), suffix="pt2")
        self.assertIn("The model takes batches of exactly 2; batchSize is 4.", self.server.log)

    def test_compiled_package_without_a_compiler(self) -> None:
        import torch

        if shutil.which("g++") is None and shutil.which("clang++") is None:
            raise SkipTest("needs a C++ compiler")

        def save(path: Path) -> None:
            torch._inductor.aoti_compile_and_package(self.program(), package_path=str(path))

        self.check("package", save, suffix="pt2")

    def test_onnx(self) -> None:
        try:
            import onnx
            import onnxruntime  # noqa: F401  # only whether it is there
        except ImportError:
            raise SkipTest("needs onnx and onnxruntime") from None
        helper, state = onnx.helper, self.network.state_dict()
        weights = [
            helper.make_tensor(name, onnx.TensorProto.FLOAT, value.shape, value.flatten().tolist())
            for name, value in state.items()
        ]
        nodes = [
            helper.make_node("Gemm", ["x", "a.weight", "a.bias"], ["h"], transB=1),
            helper.make_node("Relu", ["h"], ["r"]),
            helper.make_node("Gemm", ["r", "b.weight", "b.bias"], ["y"], transB=1),
        ]
        ends = [
            [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", size])]
            for name, size in (("x", SIZE), ("y", 3))
        ]
        graph = helper.make_graph(nodes, "net", *ends, weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        self.check("onnx", lambda path: onnx.save(model, str(path)), suffix="onnx")
