"""
What happens in a pod of KServe, in its order: storage is brought, the container starts, clients ask.

The layout of ``/mnt/models``, its configuration and the container's arguments are KServe's; the folder, the
addresses and the ports are the test's.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import TestCase, skipUnless

import pytest
import yaml

from modelserver.archive.pack import PackRequest, pack
from tests.deploy.test_manifests import image_variables
from tests.harness.rpc_messages import messages, type_of
from tests.harness.rpc_stubs import has_grpcio, stub
from tests.harness.server_process import HOST, LONGEST, ROOT, Answer, ask, eventually, free_ports

pytestmark = pytest.mark.xdist_group("kserve")

MOUNT = "/mnt/models"
LONGEST_DRAIN = 30
JSON = {"Content-Type": "application/json"}
HANDLER = """
def handle(data, context):
    return None if data is None else [sum(row["data"]) for row in data]
"""
CONFIG = """
inference_address=http://127.0.0.1:{port}
management_address=http://127.0.0.1:{port}
metrics_address=http://127.0.0.1:{metrics}
grpc_inference_port={grpc}
grpc_management_port={grpc_management}
enable_metrics_api=true
metrics_format=prometheus
number_of_netty_threads=4
job_queue_size=10
enable_envvars_config=true
install_py_dep_per_model=true
model_store={mount}/model-store
model_snapshot={snapshot}
"""
"""As KServe's example has it, at all addresses, where the ports are 8085, 8082, 7070 and 7071."""
SNAPSHOT = {
    "name": "startup.cfg",
    "modelCount": 1,
    "models": {
        "mnist": {
            "1.0": {
                "defaultVersion": True,
                "marName": "mnist.mar",
                "minWorkers": 1,
                "maxWorkers": 5,
                "batchSize": 1,
                "maxBatchDelay": 10,
                "responseTimeout": 120,
            }
        }
    },
}


class PodTests(TestCase):
    """A pod with one model."""

    def setUp(self) -> None:
        folder = TemporaryDirectory(prefix="modelserver-test-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.mount = self.folder / "mnt" / "models"
        self.port, self.http, self.metrics, self.grpc, self.grpc_management = free_ports(5)
        self.bring()

    def bring(self) -> None:
        """Do what KServe's storage initialiser does: of a volume, links to what the URI names."""
        claim = self.folder / "mnt" / "pvc" / "mnist"
        (claim / "model-store").mkdir(parents=True)
        (claim / "config").mkdir()
        handler = self.folder / "mnist_handler.py"
        handler.write_text(HANDLER)
        pack(PackRequest("mnist", "1.0", str(handler), export_path=claim / "model-store"))
        self.config = CONFIG.format(
            port=self.port,
            metrics=self.metrics,
            grpc=self.grpc,
            grpc_management=self.grpc_management,
            mount=self.mount,
            snapshot=json.dumps(SNAPSHOT),
        )
        (claim / "config" / "config.properties").write_text(self.config)
        self.mount.mkdir()
        for each in claim.iterdir():
            (self.mount / each.name).symlink_to(each)

    def start(self, variables: Mapping[str, str]) -> None:
        """Start the container's command, as the runtime has it, with the services' own argument."""
        runtime = yaml.safe_load(Path(ROOT, "etc/kserve/cluster-serving-runtime.yaml").read_text("utf-8"))
        (container,) = runtime["spec"]["containers"]
        # A container's first process stays in the foreground without being told.
        command, *arguments = (word.replace(MOUNT, str(self.mount)) for word in container["args"])
        environment = {name: text for name, text in os.environ.items() if not name.startswith("TS_")}
        environment |= {"TMPDIR": str(self.folder), "LOG_LOCATION": str(self.folder), "PYTHONPATH": ROOT}
        self.process = subprocess.Popen(
            # A container's first process stays in the foreground without being told.
            [
                str(Path(sys.executable).with_name(command)),
                *arguments,
                "--foreground",
                "--disable-token-auth",
            ],
            cwd=self.folder,
            env={**environment, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.addCleanup(self.end)

    def end(self) -> None:
        """End it as the kubelet does, if it has not ended."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.output, _ = self.process.communicate(timeout=LONGEST_DRAIN)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate(timeout=LONGEST)
            raise

    def of_image(self, envelope: str, **more: str) -> Mapping[str, str]:
        """The variables of our image and of the runtime, with the test's ports."""
        return {
            **{name: text for name, text in image_variables("kserve").items() if name.startswith("TS_")},
            "TS_INFERENCE_ADDRESS": f"http://{HOST}:{self.http}",
            "TS_MANAGEMENT_ADDRESS": f"http://{HOST}:{self.port}",
            "TS_METRICS_ADDRESS": f"http://{HOST}:{self.metrics}",
            "TS_GRPC_INFERENCE_ADDRESS": HOST,
            "TS_GRPC_INFERENCE_PORT": str(self.grpc),
            "TS_SERVICE_ENVELOPE": envelope,
            **more,
        }

    def asked(self, port: int, method: str, path: str, body: object = None) -> Answer:
        """One answer; status 0 where nobody listens yet."""
        try:
            return ask(port, method, path, None if body is None else json.dumps(body).encode(), JSON)
        except OSError:
            return Answer(0, {}, b"")

    def assert_answers(self, port: int, path: str, body: object) -> Any:
        answer = self.asked(port, "POST", path, body)
        self.assertEqual(200, answer.status, answer.body)
        return answer.json()

    def test_version_1(self) -> None:
        self.start(self.of_image("kserve", PROTOCOL_VERSION="v1"))
        eventually(lambda: self.asked(self.http, "GET", "/health/ready").status == 200)
        ready = self.asked(self.http, "GET", "/v1/models/mnist")
        self.assertEqual({"name": "mnist", "ready": True}, ready.json())
        asked = {"instances": [{"data": [1, 2]}, {"data": [3]}]}
        found = self.assert_answers(self.http, "/v1/models/mnist:predict", asked)
        self.assertEqual({"predictions": [3, 3]}, found)
        self.assertIn("ts_", self.asked(self.metrics, "GET", "/metrics").text)

    def test_version_2(self) -> None:
        self.start(self.of_image("kservev2", PROTOCOL_VERSION="v2"))
        eventually(lambda: self.asked(self.http, "GET", "/v2/models/mnist/ready").status == 200)
        self.assertEqual(200, self.asked(self.http, "GET", "/v2/health/ready").status)
        tensor = {"name": "x", "shape": [2], "datatype": "INT64", "data": [1, 2]}
        found = self.assert_answers(self.http, "/v2/models/mnist/infer", {"id": "7", "inputs": [tensor]})
        self.assertEqual(("7", "mnist"), (found["id"], found["model_name"]))
        self.assertEqual([3], found["outputs"][0]["data"])

    @skipUnless(has_grpcio(), "grpcio is not installed")
    def test_version_2_over_grpc(self) -> None:
        """At the port that the InferenceService names ``h2c``; here it is another one."""
        services = yaml.safe_load_all(Path(ROOT, "etc/kserve/inference-services.yaml").read_text("utf-8"))
        models = [each["spec"]["predictor"]["model"] for each in services]
        (asked,) = [model for model in models if model["protocolVersion"] == "grpc-v2"]
        port = int(image_variables("kserve")["TS_GRPC_INFERENCE_PORT"])
        self.assertEqual([{"name": "h2c", "containerPort": port, "protocol": "TCP"}], asked["ports"])
        self.start(self.of_image("kservev2", PROTOCOL_VERSION=asked["protocolVersion"]))
        eventually(lambda: self.asked(self.http, "GET", "/v2/models/mnist/ready").status == 200)
        self.assertEqual(["3"], self.infer_over_grpc([1, 2]))

    def infer_over_grpc(self, values: list[int]) -> object:
        """The elements of the answer."""
        import grpc
        from google.protobuf.json_format import MessageToDict, ParseDict

        tensor = {
            "name": "x",
            "shape": [len(values)],
            "datatype": "INT64",
            "contents": {"int64_contents": values},
        }
        request = type_of("oip.ModelInferRequest")()
        ParseDict({"model_name": "mnist", "inputs": [tensor]}, request)
        with grpc.insecure_channel(f"{HOST}:{self.grpc}") as channel:
            service = stub(channel, messages(), "inference.GRPCInferenceService")
            answer = MessageToDict(service.ModelInfer(request, timeout=LONGEST))
        return answer["outputs"][0]["contents"]["int64Contents"]

    def test_behind_the_original_wrapper(self) -> None:
        """Its image names no addresses: it asks at those of the configuration, which are one."""
        self.start({"TS_SERVICE_ENVELOPE": "kserve"})
        described = "/models/mnist?customized=false"
        eventually(lambda: self.is_loaded(self.asked(self.port, "GET", described)))
        for asked in ({"instances": [{"data": [1, 2]}]}, {"instances": [{"data": [3]}]}):
            self.assertEqual(
                {"predictions": [3]}, self.assert_answers(self.port, "/predictions/mnist", asked)
            )

    def is_loaded(self, answer: Answer) -> bool:
        """What the wrapper waits for before it listens itself: a worker that is ready."""
        states = [worker["status"] for worker in answer.json()[0]["workers"]] if answer.status == 200 else []
        return "READY" in states
