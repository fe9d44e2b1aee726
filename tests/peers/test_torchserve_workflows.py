"""
The same workflow archives answer alike under TorchServe and here.

Set ``MODELSERVER_PEER_TS`` as for the other tests beside TorchServe; without it these are skipped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any
from unittest import skipUnless

import pytest

from tests.harness.server_process import HOST, Answer, ServerProcess, ask, eventually, free_ports
from tests.harness.workflows import write_workflow
from tests.integration.test_workflow_runs import FUNCTIONS, STARTS
from tests.peers.peer_servers import PeerTestCase

PEER = os.environ.get("MODELSERVER_PEER_TS", "")
# The peer loses answers now and then, and calls the node again after timeout-ms.
MODELS = "models: {retry-attempts: 3, timeout-ms: 2000}\n"
SPECS = {
    "one": "dag: {show: []}\n",
    "chain": "dag: {a: [b], b: [c]}\n",
    "shown": "dag: {a: [show]}\n",
    "fork": "dag: {a: [left, right]}\n",
    "skip": "dag: {a: [left, show], left: [show]}\n",
}
LEFT, RIGHT = 'say {"l": [1]}', 'say {"r": "ü"}'
REQUESTS: list[tuple[str, str, Mapping[str, str]]] = [
    ("chain", "{}", {}),
    ("chain", '{"b": "say b"}', {}),
    ("chain", '{"c": "say "}', {}),
    ("chain", '{"c": "image"}', {}),
    ("chain", '{"a": "image"}', {}),
    ("shown", '{"x": "y"}', {"X-Do": "it"}),
    ("shown", '{"x": "y"}', {"Content-Type": "application/json"}),
    ("skip", "{}", {}),
    ("skip", '{"left": "say L"}', {"X-Do": "it"}),
    ("fork", json.dumps({"left": LEFT, "right": RIGHT}), {}),
    ("fork", "{}", {}),
    ("none", "", {}),
]
"""Workflow, body and headers."""
FAILING = ["a", "b", "c"]


def told(port: int, path: str, body: bytes, headers: Mapping[str, str], method: str = "POST") -> Any:
    """Status, type and document of an answer, without what names the server's port."""
    answer = ask(port, method, path, body, headers)
    return answer.status, answer.headers.get("content-type"), document(answer)


def document(answer: Answer) -> Any:
    """The body as JSON if it is some."""
    try:
        found = answer.json()
    except ValueError:
        return answer.body
    if isinstance(found, dict) and isinstance(found.get("headers"), dict):
        del found["headers"]["Host"]
    return found


@skipUnless(PEER, "MODELSERVER_PEER_TS names no TorchServe")
@pytest.mark.timeout(300)
class WorkflowPeerTests(PeerTestCase):
    """One set of archives in both servers; ours answers strictly as the peer."""

    @classmethod
    def setUpClass(cls) -> None:
        """Start both, and register the workflows."""
        properties = {"disable_token_authorization": "true", "workflow_strict_compat": "true"}
        ours = ServerProcess(cls.new_folder() / "ours", properties)
        ours.store.mkdir(parents=True)
        for name, spec in SPECS.items():
            write_workflow(ours.store / f"{name}.war", MODELS + spec, name, FUNCTIONS)
        cls.peer_port, management, metrics, *grpc = free_ports(5)
        addresses = {
            "inference_address": f"http://{HOST}:{cls.peer_port}",
            "management_address": f"http://{HOST}:{management}",
            "metrics_address": f"http://{HOST}:{metrics}",
            "grpc_inference_port": grpc[0],
            "grpc_management_port": grpc[1],
            "disable_token_authorization": "true",
        }
        stores = ["--model-store", str(ours.store), "--workflow-store", str(ours.store)]
        command = [f"{PEER}/torchserve", "--ncs", "--foreground", *stores]
        cls.start_peer(PEER, [*command, "--ts-config", "config.properties"], addresses)
        cls.start_ours(ours, ())
        eventually(lambda: cls.serves(management), 120.0)
        for name in SPECS:
            for port in (ours.ports[1], management):
                answer = ask(port, "POST", f"/workflows?url={name}.war")
                assert answer.status == 200, answer.text

    @classmethod
    def serves(cls, port: int) -> bool:
        """Whether a management port answers."""
        try:
            return ask(port, "GET", "/models").status == 200
        except OSError:
            return False

    def check(self, path: str, body: bytes, headers: Mapping[str, str], method: str = "POST") -> None:
        """Both answer the same."""
        with self.subTest(path, body=body, headers=headers, method=method):
            ours, theirs = (
                told(port, path, body, headers, method) for port in (self.our_port, self.peer_port)
            )
            self.assertEqual(theirs, ours)

    def test_what_the_first_node_gets(self) -> None:
        for kind, body, _ in STARTS:
            self.check("/wfpredict/one", body, {"Content-Type": kind, "X-A": "b"} if kind else {"X-A": "b"})

    def test_what_later_nodes_and_clients_get(self) -> None:
        for name, body, headers in REQUESTS:
            self.check(f"/wfpredict/{name}", body.encode(), headers)

    def test_methods_and_paths(self) -> None:
        for method in ("GET", "PUT", "PATCH", "DELETE", "OPTIONS"):
            self.check("/WfPredict/one/any/thing?q=1", b"x", {}, method)

    def test_failing_nodes(self) -> None:
        for node in FAILING:
            body = json.dumps({node: "fail"}).encode()
            ours, theirs = (
                told(port, "/wfpredict/chain", body, {}) for port in (self.our_port, self.peer_port)
            )
            self.assertEqual(theirs[:2], ours[:2])
            self.assertEqual(theirs[2], {key: ours[2][key] for key in theirs[2]})
