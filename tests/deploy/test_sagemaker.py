"""
SageMaker's toolkits start the server by their own entry points, invoke it and end it.

They are not among what the tests install: ``make sagemaker`` does, and runs these.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any
from unittest import TestCase, skipUnless

import psutil
import pytest

from tests.harness.container import PRIVATE_TMP, WRITABLE_ETC, Container, obstacle
from tests.harness.server_process import ROOT, Answer, ask, eventually, free_ports
from tests.harness.toolkits import VARIABLE

pytestmark = pytest.mark.slow

TOOLKITS = os.environ.get(VARIABLE)
TORCHSERVE, MMS = "org.pytorch.serve.ModelServer", "com.amazonaws.ml.mms.ModelServer"
JSON = {"content-type": "application/json", "accept": "application/json"}

MODEL_FN = """
import os

import torch


def model_fn(model_dir, context=None):
    model = torch.nn.Linear(3, 1)
    model.load_state_dict(torch.load(os.path.join(model_dir, "weights.pt")))
    return model
"""
MAKE_WEIGHTS = """
import torch

torch.save({"weight": torch.tensor([[1.0, 2.0, 3.0]]), "bias": torch.tensor([0.0])}, "weights.pt")
"""
FACTOR = """
from sagemaker_inference.default_inference_handler import DefaultInferenceHandler


class FactorHandler(DefaultInferenceHandler):
    def default_model_fn(self, model_dir, context=None):
        with open(model_dir + "/factor.txt") as file:
            return float(file.read())

    def default_predict_fn(self, data, model, context=None):
        return data * model
"""
FACTOR_SERVICE = """
from factor import FactorHandler
from sagemaker_inference.default_handler_service import DefaultHandlerService
from sagemaker_inference.transformer import Transformer


class HandlerService(DefaultHandlerService):
    def __init__(self):
        super().__init__(transformer=Transformer(default_inference_handler=FactorHandler()))
"""
START_WITH = (
    'from sagemaker_inference import model_server as s; s.start_model_server(handler_service="service")'
)
MAKE_CLASSIFIER = """
from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

words = "[PAD] [UNK] [CLS] [SEP] [MASK] good bad a film".split()
with open("vocab.txt", "w") as file:
    file.write("\\n".join(words))
BertTokenizerFast("vocab.txt").save_pretrained(".")
small = BertConfig(
    vocab_size=len(words), hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
)
BertForSequenceClassification(small).save_pretrained(".")
"""


@skipUnless(TOOLKITS, f"{VARIABLE} names no folder: make sagemaker")
class ToolkitTests(TestCase):
    """A toolkit is the first process of a container, with ``/opt/ml``'s layout in a folder."""

    def setUp(self) -> None:
        why = obstacle(WRITABLE_ETC, PRIVATE_TMP)
        if why is not None:
            self.skipTest(why)
        # Not below /tmp, which the container has for itself.
        self.base = Path(mkdtemp(prefix="modelserver-test-", dir="/var/tmp"))
        self.addCleanup(rmtree, self.base)
        (self.port,) = free_ports(1)

    def write(self, files: Mapping[str, str], folder: str = "model") -> Path:
        """Write the files of a model; return its folder."""
        place = self.base / folder
        for name, text in files.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(text, "utf-8")
        return place

    def make(self, toolkit: str, source: str, folder: Path) -> None:
        """Run a program of the toolkit's environment in a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        python = Path(TOOLKITS or "", toolkit, "bin", "python")
        subprocess.run([python, "-c", source], cwd=folder, check=True, timeout=100, capture_output=True)

    def start(self, toolkit: str, command: list[str], more: Mapping[str, str] | None = None) -> Container:
        """Start a toolkit as a container's entry point; wait until it answers ``/ping``."""
        bin_folder = Path(TOOLKITS or "", toolkit, "bin").resolve()
        environment = {
            "PATH": f"{bin_folder}:/usr/bin:/bin:/usr/sbin:/sbin",
            "PYTHONPATH": ROOT,
            "SAGEMAKER_BASE_DIR": str(self.base),
            "SAGEMAKER_BIND_TO_PORT": str(self.port),
            "SAGEMAKER_MODEL_SERVER_WORKERS": "1",
            "SAGEMAKER_SAFE_PORT_RANGE": "20000-20999",
            "TS_GRPC_INFERENCE_PORT": "0",
            "TS_GRPC_MANAGEMENT_PORT": "0",
            "TS_METRICS_ADDRESS": "http://127.0.0.1:0",
            **(more or {}),
        }
        container = Container(command, environment, (WRITABLE_ETC, PRIVATE_TMP), str(self.base))
        container.start()
        self.addCleanup(container.end)
        eventually(lambda: self.is_pinged(container))
        return container

    def is_pinged(self, container: Container) -> bool:
        """Whether ``/ping`` is answered with 200, as the platform asks."""
        assert container.processes()[0].is_running(), container.output
        try:
            return ask(self.port, "GET", "/ping").status == 200
        except OSError:
            return False

    def invoke(self, body: object, path: str = "/invocations") -> Answer:
        """Send JSON."""
        return ask(self.port, "POST", path, json.dumps(body).encode(), JSON)

    def assert_json(self, answer: Answer) -> Any:
        """Return what a good answer says."""
        self.assertEqual(answer.status, 200, answer.text)
        return answer.json()

    def assert_ends(self, container: Container, main_class: str) -> None:
        """The toolkit found one server; TERM, which it passes on, ends both in order."""
        alive = [process for process in container.processes() if process.status() != psutil.STATUS_ZOMBIE]
        servers = [process for process in alive if main_class in process.cmdline()]
        self.assertEqual(len(servers), 1)
        container.signal(signal.SIGTERM)
        self.assertEqual(container.wait(), 0, container.output)
        self.assertIn("Received SIGTERM", container.output)

    def test_pytorch_toolkit(self) -> None:
        model = self.write({"code/inference.py": MODEL_FN})
        self.make("pytorch", MAKE_WEIGHTS, model)
        container = self.start("pytorch", ["serve"])
        self.assertEqual(self.assert_json(self.invoke([[1.0, 2.0, 3.0]])), [[14.0]])
        wrong = ask(self.port, "POST", "/invocations", b"x", {"content-type": "image/png"})
        # Status and text are the toolkit's own.
        self.assertEqual(wrong.status, 500)
        self.assertIn("is not supported by this framework", wrong.text)
        self.assert_ends(container, TORCHSERVE)

    def test_pytorch_toolkit_with_settings_of_batches(self) -> None:
        model = self.write({"code/inference.py": MODEL_FN})
        self.make("pytorch", MAKE_WEIGHTS, model)
        settings = {"SAGEMAKER_TS_BATCH_SIZE": "4", "SAGEMAKER_TS_MAX_BATCH_DELAY": "10"}
        container = self.start("pytorch", ["serve"], settings)
        self.assertEqual(self.assert_json(self.invoke([[1.0, 2.0, 3.0]])), [[14.0]])
        (model_row,) = self.assert_json(ask(self.port, "GET", "/models/model"))
        self.assertEqual((model_row["batchSize"], model_row["maxBatchDelay"]), (4, 10))
        self.assert_ends(container, TORCHSERVE)

    def test_many_models_of_the_pytorch_toolkit(self) -> None:
        model = self.write({"code/inference.py": MODEL_FN}, "models/1234/model")
        self.make("pytorch", MAKE_WEIGHTS, model)
        container = self.start(
            "pytorch", ["serve"], {"SAGEMAKER_MULTI_MODEL": "true", "TS_ENABLE_MODEL_API": "true"}
        )
        body = {"model_name": "1234", "url": str(model)}
        self.assert_json(self.invoke(body, "/models"))
        answer = self.invoke([[1.0, 2.0, 3.0]], "/models/1234/invoke")
        self.assertEqual(self.assert_json(answer), [[14.0]])
        self.assert_json(ask(self.port, "DELETE", "/models/1234"))
        self.assert_ends(container, TORCHSERVE)

    def test_inference_toolkit(self) -> None:
        self.write({"code/factor.py": FACTOR, "code/service.py": FACTOR_SERVICE, "factor.txt": "3"})
        container = self.start("inference", ["python", "-c", START_WITH])
        self.assertEqual(self.assert_json(self.invoke([1, 2, 3])), [3.0, 6.0, 9.0])
        self.assert_ends(container, MMS)

    def test_hugging_face_toolkit(self) -> None:
        self.make("huggingface", MAKE_CLASSIFIER, self.base / "model")
        container = self.start("huggingface", ["serve"], {"HF_TASK": "text-classification"})
        (row,) = self.assert_json(self.invoke({"inputs": "a good film"}))
        self.assertIn(row["label"], ("LABEL_0", "LABEL_1"))
        self.assert_ends(container, MMS)

    def test_many_models_of_the_hugging_face_toolkit(self) -> None:
        model = self.base / "models" / "5678" / "model"
        self.make("huggingface", MAKE_CLASSIFIER, model)
        more = {"HF_TASK": "text-classification", "SAGEMAKER_MULTI_MODEL": "true"}
        container = self.start("huggingface", ["serve"], more)
        self.assert_json(self.invoke({"model_name": "5678", "url": str(model)}, "/models"))
        (row,) = self.assert_json(self.invoke({"inputs": "a bad film"}, "/models/5678/invoke"))
        self.assertIn(row["label"], ("LABEL_0", "LABEL_1"))
        self.assert_ends(container, MMS)
