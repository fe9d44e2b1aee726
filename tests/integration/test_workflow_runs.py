"""Workflows on a real server with real workers: the observed cases of TorchServe 0.12, as a table."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar
from unittest import TestCase

import pytest

from tests.harness.server_process import HOST, LONGEST, Answer, ServerProcess, ask, eventually
from tests.harness.workflows import write_workflow

pytestmark = pytest.mark.xdist_group("workflow_runs")

FUNCTIONS = '''
import json, os, time

def shown(value):
    return value.decode("latin-1") if isinstance(value, (bytes, bytearray)) else value

def show(data, context):
    """Answer with what came."""
    if data is None:
        return None
    answers = []
    for place, row in enumerate(data):
        fields = {name: [type(value).__name__, shown(value)] for name, value in row.items()}
        answers.append(json.dumps({"row": fields, "headers": context.get_all_request_header(place)}))
    return answers

def act(name, data, context):
    """Do what the body says that this node shall do, else pass the body on."""
    if data is None:
        return None
    (row,) = data
    body = row["body"]
    try:
        told = body if isinstance(body, dict) else json.loads(body)
        deed = told.get(name)
    except (ValueError, AttributeError):
        return [body]
    if deed == "fail":
        raise ValueError("told to")
    if deed == "once":
        try:
            os.close(os.open(told["mark"], os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return ["done"]
        raise ValueError("the first time")
    if deed == "slow":
        time.sleep(1.0)
    if deed == "exit":
        os._exit(3)
    if deed == "image":
        context.set_response_content_type(0, "image/png")
        context.set_response_status(201, "Made", 0)
        return [b"\\x89PNG"]
    if deed is not None and deed.startswith("say "):
        return [deed[4:]]
    return [json.dumps(told)]

def a(data, context): return act("a", data, context)
def b(data, context): return act("b", data, context)
def c(data, context): return act("c", data, context)
def left(data, context): return act("left", data, context)
def right(data, context): return act("right", data, context)
'''

SPECS = {
    "one": "models: {}\ndag: {show: []}\n",
    "two": "models: {retry-attempts: 0}\ndag: {a: [show]}\n",
    "chain": "models: {timeout-ms: 500}\ndag: {a: [b], b: [c]}\n",
    "steady": "models: {}\ndag: {a: [b], b: [c]}\n",
    "fork": "models: {}\ndag: {a: [left, right]}\n",
    "skip": "models: {}\ndag: {a: [left, show], left: [show]}\n",
}
FORM = "application/x-www-form-urlencoded"
STARTS = [
    ("", b"raw", {"body": ["bytearray", "raw"]}),
    ("text/plain", b"text", {"body": ["str", "text"]}),
    ("application/json", b'{"a": 1}', {"body": ["dict", {"a": 1}]}),
    ("application/json", b"{", {"body": ["bytearray", "{"]}),
    (FORM, b"x=1&y=2", {"x": ["bytearray", "1"], "y": ["bytearray", "2"]}),
    (
        "multipart/form-data; boundary=B",
        b'--B\r\nContent-Disposition: form-data; name="f"\r\n\r\nv\r\n--B--\r\n',
        {"f": ["bytearray", "v"]},
    ),
]
"""Content type, body, and what the first node gets."""
FAILURES = [
    ({"a": "fail"}, "a"),
    ({"b": "fail"}, "b"),
    ({"c": "fail"}, "c"),
    ({"b": "slow"}, "b"),
    ({"b": "exit"}, "b"),
]
"""What is told, and the node that is named; each has two attempts."""


class WorkflowRunTests(TestCase):
    """One server for all."""

    server: ClassVar[ServerProcess]

    @classmethod
    def setUpClass(cls) -> None:
        """Start it, and register the workflows."""
        folder = TemporaryDirectory(prefix="modelserver-test-")
        cls.addClassCleanup(folder.cleanup)
        properties = {"disable_token_authorization": "true", "metrics_mode": "prometheus"}
        cls.server = server = ServerProcess(Path(folder.name), properties)
        server.store.mkdir()
        for name, spec in SPECS.items():
            write_workflow(server.store / f"{name}.war", spec, name, FUNCTIONS)
        server.start()
        cls.addClassCleanup(server.end)
        for name in SPECS:
            answer = server.management("POST", f"/workflows?url={name}.war")
            assert answer.status == 200, answer.text

    def run_workflow(self, name: str, body: object, **headers: str) -> Answer:
        """Ask a workflow."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        return self.server.inference("POST", f"/wfpredict/{name}", data, named)

    def told(self, answer: Answer) -> Any:
        """What an error says, without what is ours alone."""
        body = answer.json()
        return body["code"], body["type"], body["message"]

    # Routes.

    def test_any_method_path_and_case(self) -> None:
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            for path in ("/wfpredict/one", "/WFPredict/one/", "/wfpredict/one/x/predict?q=1"):
                answer = self.server.inference(method, path, b"x")
                self.assertEqual((200, "application/json"), (answer.status, answer.headers["content-type"]))
                self.assertEqual({"body": ["bytearray", "x"]}, answer.json()["row"], (method, path))

    def test_what_is_no_workflow(self) -> None:
        not_found = (404, "WorkflowNotFoundException", "Workflow not found: x")
        self.assertEqual(not_found, self.told(self.run_workflow("x", b"")))
        self.assertEqual(404, self.server.inference("POST", "/wfpredict/", b"").status)
        self.assertEqual(404, self.server.management("POST", "/wfpredict/one", b"").status)
        self.assertEqual(404, self.server.inference("POST", "/predictions/one", b"").status)

    def test_node_is_a_model_of_its_own(self) -> None:
        self.assertEqual({"body": ["bytearray", "x"]}, self.server.predict("one__show", b"x").json()["row"])

    def test_open_inference_protocol_reaches_a_workflow(self) -> None:
        ready = self.server.inference("GET", "/v2/models/one/ready")
        self.assertEqual((200, {"name": "one", "ready": True}), (ready.status, ready.json()))
        self.assertEqual("workflow", self.server.inference("GET", "/v2/models/one").json()["platform"])
        answer = self.server.inference("POST", "/v2/models/one/infer", b"x")
        self.assertEqual({"body": ["bytearray", "x"]}, answer.json()["row"])

    # What nodes get.

    def test_first_node_gets_what_a_prediction_would(self) -> None:
        for kind, body, row in STARTS:
            headers = {"content-type": kind, "x-a": "b"} if kind else {"x-a": "b"}
            answer = self.server.inference("POST", "/wfpredict/one", body, headers).json()
            direct = self.server.inference("POST", "/predictions/one__show", body, headers).json()
            self.assertEqual(row, answer["row"], kind)
            for name in ("url_path", "explain"):
                del direct["headers"][name]
            self.assertEqual(direct, answer)

    def test_later_nodes_get_bytes_and_the_headers_of_the_request(self) -> None:
        for kind, body in (("application/json", b'{"x": 1}'), ("text/plain", b"text")):
            answer = self.run_workflow("two", body, content_type=kind, x_a="b").json()
            self.assertEqual({"body": ["bytearray", body.decode()]}, answer["row"])
            found = {name.lower(): value for name, value in answer["headers"].items()}
            self.assertEqual(
                ("b", kind, {"content-type": ""}), (found["x-a"], found["content-type"], found["body"])
            )
            self.assertEqual(set(), {"url_path", "explain"} & set(found))

    def test_edge_that_skips_a_level_is_a_field_too(self) -> None:
        answer = self.run_workflow("skip", {"left": "say L"}).json()
        self.assertEqual({"left": ["bytearray", "L"], "a": ["bytearray", '{"left": "say L"}']}, answer["row"])

    # What clients get.

    def test_status_and_type_of_the_last_handler(self) -> None:
        answer = self.run_workflow("chain", {"c": "image"})
        self.assertEqual(
            (201, "image/png", b"\x89PNG"), (answer.status, answer.headers["content-type"], answer.body)
        )
        answer = self.run_workflow("chain", {"b": "image"})
        self.assertEqual((200, b"\x89PNG"), (answer.status, answer.body))
        answer = self.run_workflow("chain", {"c": "say "})
        self.assertEqual((200, b""), (answer.status, answer.body))

    def test_several_leaves_are_one_object(self) -> None:
        answer = self.run_workflow("fork", {"right": 'say {"r": 1}', "left": "say [1]"})
        self.assertEqual('{"left": [1], "right": {"r": 1}}', json.dumps(answer.json()))
        for right in ("text", ""):
            answer = self.run_workflow("fork", {"right": f"say {right}"})
            self.assertEqual((500, "InternalServerException", "Error executing right"), self.told(answer))

    def test_large_bodies_arrive_whole(self) -> None:
        for size in (100_000, 1_000_000, 6_000_000):
            body = os.urandom(size // 2).hex().encode()
            answer = self.run_workflow("chain", body, content_type="application/octet-stream")
            self.assertEqual((200, size), (answer.status, len(answer.body)))
            self.assertEqual(body, answer.body)

    def test_failures_name_the_node(self) -> None:
        for deeds, node in FAILURES:
            answer = self.run_workflow("chain", deeds)
            self.assertEqual(
                (500, "InternalServerException", f"Error executing {node}"), self.told(answer), deeds
            )
            self.assertEqual((node, 2), (answer.json()["node"], answer.json()["attempts"]))
            self.assertEqual(200, self.run_workflow("chain", {}).status)
        self.assertEqual("ValueError", self.run_workflow("chain", {"a": "fail"}).json()["exception"])

    def test_second_attempt_may_answer(self) -> None:
        mark = str(self.server.folder / "mark")
        answer = self.run_workflow("chain", {"b": "once", "mark": mark}, x_workflow_trace="true")
        self.assertEqual((200, b"done"), (answer.status, answer.body))
        trace = [each.split(";") for each in answer.headers["x-workflow-trace"].split(", ")]
        self.assertEqual(
            [["a", "attempts=1"], ["b", "attempts=2"], ["c", "attempts=1"]],
            [[name, attempts] for name, _, attempts in trace],
        )

    def test_time_of_the_request_is_over(self) -> None:
        answer = self.run_workflow("chain", {"b": "slow"}, x_request_timeout_ms="200")
        self.assertEqual((504, "RequestTimeoutException"), self.told(answer)[:2])

    def test_many_at_once_and_none_is_lost(self) -> None:
        wrong: list[object] = []

        def client(number: int) -> None:
            connection = http.client.HTTPConnection(HOST, self.server.ports[0], timeout=LONGEST)
            for turn in range(100):
                body = b"%d %d" % (number, turn)
                connection.request("POST", "/wfpredict/steady", body)
                answer = connection.getresponse()
                if (answer.status, answer.read()) != (200, body):
                    wrong.append((number, turn))
            connection.close()

        threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for _ in range(3):  # meanwhile workers of the middle are killed
            for pid in eventually(lambda: self.server.pids("steady__b")):
                os.kill(pid, signal.SIGKILL)
            eventually(lambda: self.server.ready("steady__b"))
        for thread in threads:
            thread.join(LONGEST)
        self.assertEqual([], wrong)

    def test_one_line_of_the_access_log_for_a_request(self) -> None:
        log = self.server.folder / "logs" / "access_log.log"
        for name in ("first", "second"):
            self.run_workflow("chain", b"x", x_name=name)
            eventually(lambda: "/wfpredict/chain" in log.read_text() if log.exists() else False)
        self.server.inference("GET", "/ping?the-end")
        eventually(lambda: "/ping?the-end" in log.read_text())
        last = [line.partition('"')[2] for line in log.read_text().splitlines()[-3:]]
        for line in last[:2]:
            self.assertTrue(line.startswith('POST /wfpredict/chain HTTP/1.1" 200'), last)

    def test_unregistering_lets_runs_end(self) -> None:
        write_workflow(
            self.server.store / "gone.war", SPECS["chain"].replace("500", "9000"), "gone", FUNCTIONS
        )
        self.assertEqual(200, self.server.management("POST", "/workflows?url=gone.war").status)
        answers: list[Answer] = []
        running = threading.Thread(
            target=lambda: answers.append(self.run_workflow("gone", {"a": "slow", "b": "slow", "c": "slow"}))
        )
        running.start()
        eventually(lambda: self.server.workers("gone__a") and "gone" in self.in_hand())
        deleted = self.server.management("DELETE", "/workflows/gone")
        running.join(LONGEST)
        self.assertEqual((200, 200), (deleted.status, answers[0].status))
        self.assertEqual(404, self.run_workflow("gone", b"x").status)

    def in_hand(self) -> str:
        """The models that have requests in hand."""
        text = ask(self.server.ports[2], "GET", "/metrics").text
        lines = [line for line in text.splitlines() if line.startswith("modelserver_in_flight_requests")]
        return "".join(line for line in lines if not line.endswith(" 0.0"))

    def test_metrics_tell_of_workflows_and_nodes(self) -> None:
        self.run_workflow("two", {"a": "fail"})
        text = ask(self.server.ports[2], "GET", "/metrics").text
        for line in (
            'modelserver_workflow_requests_total{workflow="two",outcome="handler",}',
            'modelserver_workflow_node_calls_total{workflow="two",node="a",outcome="handler",}',
        ):
            self.assertIn(line, text)
