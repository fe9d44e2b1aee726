"""``/v2/repository`` of a real server, as KServe's agent calls it, and by Triton's own client."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any
from unittest import skipUnless

import pytest

from tests.harness.server_process import LONGEST, Answer, ServerProcess, ServerTests

pytestmark = pytest.mark.xdist_group("repository")

CLIENTS = os.environ.get("MODELSERVER_GRPC_CLIENTS", "")
"""As for gRPC: ``pip install 'tritonclient[http]'``."""
HANDLER = """
def handle(data, context):
    return None if data is None else [context.model_name] * len(data)
"""
TRITON = """
import json, sys
from tritonclient import http
from tritonclient.utils import InferenceServerException

client = http.InferenceServerClient(f"127.0.0.1:{sys.argv[1]}")
told = [client.get_model_repository_index()]
client.load_model("echo")
client.load_model("echo")
told += [client.get_model_repository_index(), client.is_model_ready("echo")]
client.unload_model("echo", unload_dependents=True)
told.append(client.get_model_repository_index())
for call in (client.load_model, client.unload_model):
    try:
        call("nothing")
    except InferenceServerException as error:
        told.append([error.status(), error.message()])
print(json.dumps(told))
"""
OVER_GRPC = """
import json, sys
from tritonclient import grpc
from tritonclient.utils import InferenceServerException

client = grpc.InferenceServerClient(f"127.0.0.1:{sys.argv[1]}")


def index():
    models = client.get_model_repository_index().models
    return [[each.name, each.version, each.state, each.reason] for each in models]


told = [index()]
client.load_model("echo")
told += [index(), client.is_model_ready("echo")]
client.unload_model("echo")
told.append(index())
try:
    client.load_model("nothing")
except InferenceServerException as error:
    told.append(error.status())
print(json.dumps(told))
"""


class RepositoryTests(ServerTests):
    """Loading and unloading at the inference port."""

    def serve(self) -> ServerProcess:
        properties = {
            "disable_token_authorization": "true",
            "enable_model_api": "true",
            "repository_at_inference": "true",
        }
        server = self.start(properties, has_rpc=bool(CLIENTS))
        server.add_model("echo", HANDLER)
        return server

    def test_as_kserves_agent_does_it(self) -> None:
        server = self.serve()
        # The agent brings what a storage URI names into a folder of the model's name.
        folder = server.store / "mine"
        folder.mkdir()
        (server.store / "echo.mar").rename(folder / "echo.mar")
        self.assert_ok(self.told(server, "load"))
        self.assertEqual("mine", server.predict("mine", b"x").text)
        (folder / "echo.mar").unlink()
        folder.rmdir()
        self.assert_ok(self.told(server, "unload"))
        self.assertEqual(404, self.told(server, "load").status)

    def told(self, server: ServerProcess, what: str) -> Answer:
        typed = {"Content-Type": "application/json"}
        return server.inference("POST", f"/v2/repository/models/mine/{what}", b"{}", typed)

    @skipUnless(CLIENTS, "MODELSERVER_GRPC_CLIENTS is not set")
    def test_tritons_client(self) -> None:
        server = self.serve()
        idle = [{"name": "echo", "state": "UNAVAILABLE", "reason": "unloaded"}]
        ready = [{"name": "echo", "version": "1.0", "state": "READY", "reason": ""}]
        missing = ["404", "Model not found: nothing"]
        self.assertEqual(
            [idle, ready, True, idle, missing, missing], self.asked(server, TRITON, server.ports[0])
        )

    @skipUnless(CLIENTS, "MODELSERVER_GRPC_CLIENTS is not set")
    def test_tritons_client_over_grpc(self) -> None:
        server = self.serve()
        idle, ready = [["echo", "", "UNAVAILABLE", "unloaded"]], [["echo", "1.0", "READY", ""]]
        told = [idle, ready, True, idle, "StatusCode.NOT_FOUND"]
        self.assertEqual(told, self.asked(server, OVER_GRPC, server.rpc_ports[0]))

    def asked(self, server: ServerProcess, script: str, port: int) -> Any:
        words = [CLIENTS, "-c", script, str(port)]
        ran = subprocess.run(words, capture_output=True, text=True, timeout=2 * LONGEST, check=False)
        self.assertEqual(0, ran.returncode, ran.stderr + server.log)
        return json.loads(ran.stdout)
