"""Small requests with large answers, by each way that leads to a model."""

from __future__ import annotations

import socket
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar
from unittest import TestCase

import pytest

from tests.harness.rpc_stubs import has_grpcio, own_api
from tests.harness.server_process import HOST, LONGEST, ServerProcess
from tests.harness.workflows import write_workflow

pytestmark = pytest.mark.xdist_group("large-answers")

GROW = """
def handle(data, context):
    if data is None:
        return None
    bodies = [row.get("body") or row.get("data") for row in data]
    return [(body.encode() if isinstance(body, str) else bytes(body)) * 40_000 for body in bodies]
"""
SPEC = "models: {timeout-ms: 20000}\ndag: {pass_on: [grow_more]}\n"
FUNCTIONS = """
def pass_on(data, context):
    return None if data is None else [row["body"] for row in data]

def grow_more(data, context):
    return None if data is None else [bytes(row["body"]) * 2_000_000 for row in data]
"""


def grown(body: bytes) -> bytes:
    return body * 40_000


class LargeAnswerTests(TestCase):
    """A model whose answers are 40,000 times its requests; the first one tells the server."""

    server: ClassVar[ServerProcess]

    @classmethod
    def setUpClass(cls) -> None:
        """Start a server."""
        folder = TemporaryDirectory(prefix="modelserver-test-")
        cls.addClassCleanup(folder.cleanup)
        properties = {"disable_token_authorization": "true"}
        cls.server = server = ServerProcess(Path(folder.name), properties, has_rpc=has_grpcio())
        server.store.mkdir()
        server.add_model("grow", GROW)
        write_workflow(server.store / "w.war", SPEC, "w", FUNCTIONS)
        server.start()
        cls.addClassCleanup(server.end)
        for answer in (
            server.register("grow.mar", batch_size=4, max_batch_delay=5),
            server.management("POST", "/workflows?url=w.war"),
        ):
            assert answer.status == 200, answer.text

    def bodies(self, turn: int) -> list[bytes]:
        return [b"%03d" % (turn * 8 + place) for place in range(8)]

    def test_each_gets_its_own(self) -> None:
        for turn in range(20):
            bodies = self.bodies(turn)
            answers = self.server.predict_together("grow", bodies)
            self.assertEqual([grown(body) for body in bodies], [answer.body for answer in answers])

    def test_those_that_twisted_web_reads_too(self) -> None:
        for turn in range(3):
            for body in self.bodies(turn):
                form = {"Content-Type": "application/x-www-form-urlencoded"}
                answer = self.server.inference("POST", "/invocations", b"model_name=grow&data=" + body, form)
                self.assertEqual(grown(body), answer.body)

    def test_last_node_of_a_workflow(self) -> None:
        """Its answer is longer than what the system takes at once, and more runs end while it is sent."""
        for body in self.bodies(0):  # the first one tells that answers are large
            with socket.socket() as slow:
                slow.settimeout(LONGEST)
                slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                slow.connect((HOST, self.server.ports[0]))
                slow.sendall(
                    b"POST /wfpredict/w HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                    b"Content-Length: 3\r\n\r\n" + body
                )
                found = slow.recv(1)
                for other in (b"aaa", b"bbb"):
                    answer = self.server.inference("POST", "/wfpredict/w", other)
                    self.assertEqual(other * 2_000_000, answer.body)
                while data := slow.recv(1 << 20):
                    found += data
            self.assertEqual(body * 2_000_000, found.partition(b"\r\n\r\n")[2])

    @pytest.mark.skipif(not has_grpcio(), reason="grpcio is not installed")
    def test_calls_get_theirs(self) -> None:
        import grpc

        api = own_api()
        with grpc.insecure_channel(f"{HOST}:{self.server.rpc_ports[0]}") as channel:
            stub = api.inference(channel)
            for turn in range(4):
                bodies = self.bodies(turn)
                calls = [
                    stub.Predictions.future(api.request("grow", data=body), timeout=LONGEST)
                    for body in bodies
                ]
                answers = [call.result(LONGEST).prediction for call in calls]
                self.assertEqual([grown(body) for body in bodies], answers)
