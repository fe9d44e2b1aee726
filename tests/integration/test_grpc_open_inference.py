"""
The Open Inference Protocol over gRPC with Triton's and KServe's own clients.

Both are asked for in a process of their own, by the interpreter that ``MODELSERVER_GRPC_CLIENTS`` names: they
want another protobuf than the stubs of grpcio-tools. ``pip install 'tritonclient[grpc]' kserve`` makes one.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any
from unittest import skipUnless

import pytest

from tests.harness.server_process import LONGEST, ServerProcess, ServerTests

pytestmark = pytest.mark.xdist_group("grpc-open-inference")

CLIENTS = os.environ.get("MODELSERVER_GRPC_CLIENTS", "")
SCRIPTS = Path(__file__).parent / "grpc_clients"
TENSORS = '''
"""Gives every tensor back; elements of BYTES come in base64, as in TorchServe, and go as they are."""

from base64 import b64decode


def handle(data, context):
    if data is None:
        return None
    return [answer(row["body"]) for row in data]


def answer(asked):
    kept = ("name", "shape", "datatype", "data")
    outputs = [{name: tensor[name] for name in kept} for tensor in asked["inputs"]]
    for tensor in outputs:
        if tensor["datatype"] == "BYTES":
            tensor["data"] = decoded(tensor["data"])
    return {"id": asked["id"], "model_name": asked["model_name"], "model_version": "1.0", "outputs": outputs}


def decoded(data):
    return [decoded(each) if isinstance(each, list) else b64decode(each) for each in data]
'''
CONFIG = """
inputs:
  - {name: x, datatype: FP32, shape: [-1, 3]}
outputs:
  - {name: x, datatype: FP32, shape: [-1, 3]}
"""
DATATYPES = [
    "BOOL",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "FP16",
    "FP32",
    "FP64",
    "BYTES",
]


@skipUnless(CLIENTS, "MODELSERVER_GRPC_CLIENTS is not set")
class ClientTests(ServerTests):
    """Real clients of other servers."""

    def serve(self) -> ServerProcess:
        properties = {"disable_token_authorization": "true", "enable_model_api": "true"}
        server = self.start(properties, has_rpc=True)
        server.add_model("tensors", TENSORS, CONFIG)
        self.assert_ok(server.register("tensors.mar"))
        return server

    def told(self, script: str, server: ServerProcess) -> Any:
        """What a script prints at its end."""
        ran = subprocess.run(
            [CLIENTS, str(SCRIPTS / script), str(server.rpc_ports[0])],
            capture_output=True,
            text=True,
            timeout=2 * LONGEST,
            check=False,
        )
        self.assertEqual(ran.returncode, 0, ran.stderr + server.log)
        return json.loads(ran.stdout.splitlines()[-1])

    def test_triton(self) -> None:
        told = self.told("ask_triton.py", self.serve())
        self.assertEqual(
            told,
            {
                "live": True,
                "ready": True,
                "model ready": True,
                "server": True,
                "model": ["tensors", ["1.0"], ["x"]],
                "raw": DATATYPES,
                "typed": [each for each in DATATYPES if each != "FP16"],
                "large": True,
                "two": [[1], [2.0]],
                "compressed": True,
                "stream": ["0", "1", "2", "Model not found: nope", "after it"],
                "unknown": "StatusCode.INTERNAL",
                "late": "StatusCode.DEADLINE_EXCEEDED",
                "statistics": "tensors",
            },
        )

    def test_kserve(self) -> None:
        told = self.told("ask_kserve.py", self.serve())
        self.assertEqual(
            told,
            {
                "live": True,
                "ready": True,
                "model ready": True,
                "typed": ["typed", [[1.5, -2.0]]],
                "raw": ["raw", [[1.5, -2.0]]],
            },
        )
