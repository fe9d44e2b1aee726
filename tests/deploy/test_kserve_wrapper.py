"""
TorchServe's own wrapper for KServe in front of this server, started by the entry point of its image.

The wrapper listens at 8080 and 8081, loads models by asking the management API, and passes requests on to the
server at 8085, or by gRPC at 7070. ``make kserve-wrapper CHECKOUT=...`` runs this.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any
from unittest import TestCase, skipUnless

import pytest

from modelserver.archive.pack import PackRequest, pack
from tests.harness.container import PRIVATE_TMP, Container, obstacle
from tests.harness.kserve_wrapper import CHECKOUT, ENVIRONMENT, lay_out
from tests.harness.server_process import LONGEST, eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

FOUND = os.environ.get(CHECKOUT, "")
INSTALLED = os.environ.get(ENVIRONMENT, "")
JSON = {"Content-Type": "application/json"}
PREPARATIONS = (
    PRIVATE_TMP,
    "ip link set lo up",
    "mount -t tmpfs tmpfs /mnt",
    "mkdir /mnt/models /mnt/upper /mnt/work",
    "mount -t overlay overlay -o lowerdir=/home,upperdir=/mnt/upper,workdir=/mnt/work /home",
    "mkdir -p /home/model-server",
)
"""What a test mounts follows: the storage, and the folder of the image."""
HANDLER = """
from base64 import b64decode

from ts.torch_handler.base_handler import BaseHandler


class Total(BaseHandler):
    def initialize(self, context):
        self.context, self.initialized = context, True

    def preprocess(self, rows):
        return [list(b64decode(row["data"])) if isinstance(row["data"], str) else row["data"] for row in rows]

    def inference(self, rows):
        return [sum(row) for row in rows]

    def postprocess(self, totals):
        return totals

    def get_insights(self, rows, raw, target):
        return [[value / sum(row) for value in row] for row in rows]
"""
CONFIG = """
inference_address=http://0.0.0.0:8085
management_address=http://0.0.0.0:8085
metrics_address=http://0.0.0.0:8082
grpc_inference_port=7070
grpc_management_port=7071
enable_envvars_config=true
install_py_dep_per_model=true
enable_metrics_api=true
metrics_mode=prometheus
NUM_WORKERS=1
number_of_netty_threads=4
job_queue_size=10
model_store=/mnt/models/model-store
model_snapshot={"name":"startup.cfg","modelCount":1,"models":{"total":{"1.0":{"defaultVersion":true,\
"marName":"total.mar","minWorkers":1,"maxWorkers":5,"batchSize":5,"maxBatchDelay":200,"responseTimeout":60}}}}
"""
"""As the wrapper's README has it."""
ASK_RPC = """
import json, sys, warnings
warnings.simplefilter("ignore")
import grpc
from google.protobuf.json_format import MessageToDict, ParseDict
from kserve.protocol.grpc import grpc_predict_v2_pb2 as messages, grpc_predict_v2_pb2_grpc as stubs

service = stubs.GRPCInferenceServiceStub(grpc.insecure_channel("127.0.0.1:8081"))
request = ParseDict(json.loads(sys.stdin.read()), messages.ModelInferRequest())
print(json.dumps(MessageToDict(service.ModelInfer(request, timeout=60))))
"""


@skipUnless(FOUND, f"{CHECKOUT} names no checkout of pytorch/serve: make kserve-wrapper CHECKOUT=...")
@skipUnless(INSTALLED, f"{ENVIRONMENT} names no environment with kserve: make kserve-wrapper CHECKOUT=...")
@skipUnless(os.geteuid() == 0, "needs to be root")
class WrapperTests(TestCase):
    """One model, by each of the wrapper's protocols."""

    def setUp(self) -> None:
        why = obstacle(*PREPARATIONS)
        if why is not None:
            self.skipTest(why)
        self.folder = Path(mkdtemp(prefix="modelserver-test-", dir="/var/tmp"))
        self.addCleanup(rmtree, self.folder)
        self.environment = Path(INSTALLED).resolve()
        lay_out(Path(FOUND).resolve(), self.environment, self.folder)
        models = self.folder / "models"
        (models / "config").mkdir(parents=True)
        (models / "config" / "config.properties").write_text(CONFIG, "utf-8")
        (models / "model-store").mkdir()
        handler = self.folder / "total_handler.py"
        handler.write_text(HANDLER, "utf-8")
        pack(PackRequest("total", "1.0", str(handler), export_path=models / "model-store"))

    def start(self, envelope: str, protocol: str) -> None:
        """Start the image's entry point with the arguments of KServe's runtime; wait for the model."""
        entry = self.folder / "dockerd-entrypoint.sh"
        store, config = "/mnt/models/model-store", "/mnt/models/config/config.properties"
        server = ["torchserve", "--start", f"--model-store={store}", f"--ts-config={config}"]
        commands = Path(sys.executable).parent  # has torchserve; the first folder has the wrapper's python
        variables = {
            "PATH": f"{self.environment / 'bin'}:{commands}:/usr/local/bin:/usr/bin:/bin",
            "PYTHONWARNINGS": "ignore",
            "LOG_LOCATION": "/tmp/logs",
            "METRICS_LOCATION": "/tmp/logs",
            "TS_SERVICE_ENVELOPE": envelope,
            "PROTOCOL_VERSION": protocol,
            "MODEL_LOAD_DELAY": "1",
        }
        mounts = (
            f"mount --bind {self.folder}/models /mnt/models && mount -o remount,ro,bind /mnt/models",
            f"mount --bind {self.folder} /home/model-server",
        )
        self.container = Container(
            ["bash", str(entry), *server, "--disable-token-auth"],
            variables,
            (*PREPARATIONS, *mounts),
            "/home/model-server",
        )
        self.container.start(own_network=True)
        self.addCleanup(self.container.end)
        try:
            eventually(lambda: self.ask("GET", "/v1/models/total")[0] == 200, 2 * LONGEST)
        except AssertionError as error:
            raise AssertionError(self.container.output[-5000:]) from error
        self.assertIn("The model total is ready", self.container.output)

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Ask the wrapper."""
        given = None if body is None else json.dumps(body)
        status, text = self.container.ask(method, f"8080{path}", given, JSON)
        return status, json.loads(text) if status else text

    def test_version_1(self) -> None:
        self.start("kserve", "v1")
        body = {"instances": [{"data": [1, 3]}, {"data": [4]}]}
        self.assertEqual(self.ask("POST", "/v1/models/total:predict", body), (200, {"predictions": [4, 4]}))
        explained = {"explanations": [[0.25, 0.75], [1.0]]}
        self.assertEqual(self.ask("POST", "/v1/models/total:explain", body), (200, explained))
        status, told = self.ask("POST", "/v1/models/total:predict", {"instances": [{}]})
        self.assertEqual(status, 500)
        self.assertIn("'Prediction failed'", told["error"])

    def test_version_2(self) -> None:
        self.start("kservev2", "v2")
        for tensor, total in (
            ({"name": "x", "shape": [2], "datatype": "INT64", "data": [1, 2]}, 3),
            ({"name": "x", "shape": [-1], "datatype": "BYTES", "data": ["AQID"]}, 6),
        ):
            status, told = self.ask("POST", "/v2/models/total/infer", {"id": "7", "inputs": [tensor]})
            self.assertEqual(status, 200, told)
            self.assertEqual((told["id"], told["model_name"], told["model_version"]), ("7", "total", "1.0"))
            self.assertEqual(told["outputs"][0]["data"], [total])
        status, told = self.ask("POST", "/v2/models/total/infer", {"inputs": []})
        self.assertEqual(status, 500)
        self.assertIn('The request is not JSON with a list of "inputs".', told["error"])

    def test_version_2_over_grpc(self) -> None:
        self.start("kservev2", "grpc-v2")
        for contents, datatype, total in (
            ({"int64_contents": [1, 2]}, "INT64", "3"),
            ({"bytes_contents": ["AQID"]}, "BYTES", "6"),
        ):
            tensor = {"name": "x", "shape": [-1], "datatype": datatype, "contents": contents}
            request = {"model_name": "total", "id": "7", "inputs": [tensor]}
            python = str(self.environment / "bin" / "python")
            done = self.container.run_in_network([python, "-c", ASK_RPC], json.dumps(request))
            self.assertEqual(done.returncode, 0, done.stderr[-2000:] + self.container.output[-3000:])
            told = json.loads(done.stdout)
            self.assertEqual((told["modelName"], told["id"]), ("total", "7"))
            self.assertEqual(told["outputs"][0]["contents"], {"int64Contents": [total]})
