"""Traces of gRPC calls, workflows and registrations of a real server, as a collector gets them."""

from __future__ import annotations

import json
from typing import Any
from unittest import skipUnless

from tests.harness.collector import Received
from tests.harness.rpc_messages import type_of
from tests.harness.rpc_stubs import has_grpcio
from tests.harness.server_process import HOST, LONGEST, Answer, ServerProcess, eventually
from tests.harness.workflows import write_workflow
from tests.integration.test_core import ECHO
from tests.integration.test_traces import CLIENT, SPAN, TRACE, TracedServerTests

if has_grpcio():
    import grpc

FUNCTIONS = """
def first(data, context):
    return None if data is None else [bytes(data[0].get("body") or data[0].get("data")) + b"1"]

def second(data, context):
    return None if data is None else [bytes(data[0]["body"]) + b"2"]
"""
SPEC = "models: {}\ndag: {first: [second]}\n"
SERVICE = "org.pytorch.serve.grpc.inference.InferenceAPIsService"
WORKFLOW = "POST /wfpredict/{workflow_name}"
ATTEMPTS = ["queue", "batch", "queue", "batch", "respond"]


def register_workflow(server: ServerProcess) -> Answer:
    """Register a workflow of two nodes."""
    write_workflow(server.store / "w.war", SPEC, "w", FUNCTIONS)
    return server.management("POST", "/workflows?url=w.war")


class WorkflowServerTests(TracedServerTests):
    """Servers of a workflow."""

    def named_parts(self, whole: Received) -> list[str]:
        """Return the names of a workflow's parts; a server's first one may take a moment until it begins."""
        names = [part.name for part in self.assert_covered(whole)]
        return names[1:] if names[0] == "receive" else names


class WorkflowTraceTests(WorkflowServerTests):
    """A workflow is one trace, whatever its nodes are."""

    def test_nodes_are_parts_of_the_request(self) -> None:
        server = self.serve({})
        self.assert_ok(register_workflow(server))
        answer = server.inference("POST", "/wfpredict/w", b"x", {"traceparent": CLIENT})
        self.assertEqual((200, "x12"), (answer.status, answer.text))
        (whole,) = self.collector.wait_for(WORKFLOW)
        self.assertEqual((TRACE, SPAN), (whole.trace_id, whole.parent_id))
        self.assertEqual(ATTEMPTS, self.named_parts(whole))
        self.assertEqual(2, len(self.collector.named("handler")))


@skipUnless(has_grpcio(), "grpcio is not installed")
class CallTraceTests(WorkflowServerTests):
    """Calls over gRPC."""

    def serve(self, models: dict[str, str], has_rpc: bool = True, **properties: str) -> ServerProcess:
        return super().serve(models, has_rpc, **properties)

    def call(self, server: ServerProcess, model: str, method: str = "Predictions") -> Any:
        """Ask a model, in a client's trace."""
        channel = grpc.insecure_channel(f"{HOST}:{server.rpc_ports[0]}")
        self.addCleanup(channel.close)
        request = type_of("inference.PredictionsRequest")(model_name=model, input={"data": b"x"})
        kind = channel.unary_unary if method == "Predictions" else channel.unary_stream
        answer = type_of("inference.PredictionResponse")
        made = kind(f"/{SERVICE}/{method}", response_deserializer=answer.FromString)
        return made(request.SerializeToString(), timeout=LONGEST, metadata=[("traceparent", CLIENT)])

    def test_prediction(self) -> None:
        server = self.serve({"echo": ECHO}, log_format="json")
        self.assert_ok(server.register("echo.mar"))
        with self.assertRaises(grpc.RpcError):
            self.call(server, "none")
        self.call(server, "echo")
        refused, whole = self.collector.wait_for(f"{SERVICE}/Predictions", 2)
        self.assertEqual((TRACE, SPAN), (whole.trace_id, whole.parent_id))
        self.assertEqual(["queue", "batch", "respond"], [part.name for part in self.assert_covered(whole)])
        self.assertEqual("OK", whole.attributes["rpc.response.status_code"])
        self.assertEqual(f"{SERVICE}/Predictions", whole.attributes["rpc.method"])
        told = whole.attributes["server.address"], whole.attributes["server.port"]
        self.assertEqual((HOST, server.rpc_ports[0]), told)
        self.assertNotEqual("OK", refused.attributes["rpc.response.status_code"])
        log = server.folder / "logs" / "access_log.log"
        lines = eventually(lambda: [line for line in log.read_text().splitlines() if "gRPC" in line])
        self.assertEqual({TRACE.hex()}, {json.loads(line)["trace_id"] for line in lines})

    def test_streamed_prediction(self) -> None:
        server = self.serve({"echo": ECHO})
        self.assert_ok(server.register("echo.mar"))
        list(self.call(server, "echo", "StreamPredictions"))
        (whole,) = self.collector.wait_for(f"{SERVICE}/StreamPredictions")
        self.assert_covered(whole)

    def test_workflow(self) -> None:
        server = self.serve({})
        self.assert_ok(register_workflow(server))
        self.assertEqual(b"x12", self.call(server, "w").prediction)
        (whole,) = self.collector.wait_for(f"{SERVICE}/Predictions")
        self.assertEqual(ATTEMPTS, self.named_parts(whole))


class RegistrationTests(TracedServerTests):
    """What management does."""

    def test_registration_and_its_workers(self) -> None:
        server = self.serve({"echo": ECHO})
        self.assert_ok(server.register("echo.mar"))
        (whole,) = self.collector.wait_for("POST /models")
        (register,) = self.collector.wait_for("register")
        (started,) = self.collector.wait_for("worker start")
        self.assertEqual(whole.span_id, register.parent_id)
        self.assertEqual(register.span_id, started.parent_id)
        self.assertEqual("echo", register.attributes["modelserver.model.name"])

    def test_workflow_and_its_nodes(self) -> None:
        server = self.serve({})
        self.assert_ok(register_workflow(server))
        (whole,) = self.collector.wait_for("POST /workflows")
        (workflow,) = self.collector.wait_for("register workflow")
        nodes = self.collector.wait_for("register", 2)
        workers = self.collector.wait_for("worker start", 2)
        self.assertEqual(whole.span_id, workflow.parent_id)
        self.assertEqual("w", workflow.attributes["modelserver.workflow.name"])
        self.assertEqual({workflow.span_id}, {node.parent_id for node in nodes})
        self.assertEqual({node.span_id for node in nodes}, {worker.parent_id for worker in workers})

    def test_registration_that_fails(self) -> None:
        server = self.serve({})
        self.assertEqual(404, server.register("none.mar").status)
        (register,) = self.collector.wait_for("register")
        self.assertEqual("ArchiveNotFound", register.attributes["error.type"])
