"""Workflows over gRPC with a real client: TorchServe's Predictions, and the Open Inference Protocol."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any
from unittest import skipUnless

import pytest

from tests.harness.rpc_messages import type_of
from tests.harness.rpc_stubs import has_grpcio
from tests.harness.server_process import HOST, LONGEST, ServerProcess, ServerTests
from tests.harness.workflows import write_workflow

if has_grpcio():
    import grpc

pytestmark = pytest.mark.xdist_group("grpc-workflows")

FUNCTIONS = '''
import json

def double(data, context):
    """Twice each number: of the tensors of a request, or of a JSON list in bytes."""
    if data is None:
        return None
    (row,) = data
    if "data" in row:
        return [bytes(row["data"]) * 2]
    body = row["body"]
    (tensor,) = body["inputs"]
    return [{"outputs": [{**named(tensor), "data": [2 * each for each in tensor["data"]]}]}]

def named(tensor):
    return {name: tensor[name] for name in ("name", "datatype", "shape")}

def add(data, context):
    """One more."""
    if data is None:
        return None
    (row,) = data
    body = bytes(row["body"])
    try:
        (tensor,) = json.loads(body)["outputs"]
    except ValueError:
        return [body + b"+"]
    return [{"outputs": [{**named(tensor), "data": [1 + each for each in tensor["data"]]}]}]
'''
SPECS = {
    "w": "models: {}\ndag: {double: [add]}\n",
    "one": "models: {}\ndag: {double: []}\n",
}
SERVICE = "/inference.GRPCInferenceService"


def infer_request(name: str, **more: Any) -> Any:
    """A request with one tensor."""
    tensor: dict[str, Any] = {"name": "x", "datatype": "INT32", "shape": [3]}
    if "raw_input_contents" not in more:
        tensor["contents"] = {"int_contents": [1, 2, 3]}
    return type_of("oip.ModelInferRequest")(model_name=name, id="seven", inputs=[tensor], **more)


@skipUnless(has_grpcio(), "grpcio is not installed")
class WorkflowCalls(ServerTests):
    """One server, and a client without stubs."""

    def setUp(self) -> None:
        self.server = self.serve()
        self.channel = grpc.insecure_channel(f"{HOST}:{self.server.rpc_ports[0]}")
        self.addCleanup(self.channel.close)

    def serve(self) -> ServerProcess:
        server = self.start({"disable_token_authorization": "true"}, has_rpc=True)
        for name, spec in SPECS.items():
            write_workflow(server.store / f"{name}.war", spec, name, FUNCTIONS)
            self.assert_ok(server.management("POST", f"/workflows?url={name}.war"))
        return server

    def call(self, path: str, request: Any, answer: str) -> Any:
        """One call."""
        asked: Callable[..., bytes] = self.channel.unary_unary(path)
        return type_of(answer).FromString(asked(request.SerializeToString(), timeout=LONGEST))

    def infer(self, name: str, **more: Any) -> Any:
        """Ask with tensors."""
        return self.call(f"{SERVICE}/ModelInfer", infer_request(name, **more), "oip.ModelInferResponse")

    def test_predictions(self) -> None:
        path = "/org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions"
        request = type_of("inference.PredictionsRequest")(model_name="w", input={"data": b"ab"})
        self.assertEqual(b"abab+", self.call(path, request, "inference.PredictionResponse").prediction)

    def test_tensors_go_through_all_nodes_and_come_back(self) -> None:
        for name, numbers in (("w", [3, 5, 7]), ("one", [2, 4, 6])):
            found = self.infer(name)
            self.assertEqual((name, "seven"), (found.model_name, found.id))
            (tensor,) = found.outputs
            self.assertEqual(("x", "INT32", [3]), (tensor.name, tensor.datatype, list(tensor.shape)))
            self.assertEqual(numbers, list(tensor.contents.int_contents))

    def test_raw_tensors_come_back_raw(self) -> None:
        found = self.infer("w", raw_input_contents=[struct.pack("<3i", 1, 2, 3)])
        self.assertEqual([struct.pack("<3i", 3, 5, 7)], list(found.raw_output_contents))

    def test_protocol_tells_of_workflows(self) -> None:
        request = type_of("oip.ModelReadyRequest")(name="w")
        self.assertTrue(self.call(f"{SERVICE}/ModelReady", request, "oip.ModelReadyResponse").ready)
        request = type_of("oip.ModelMetadataRequest")(name="w")
        found = self.call(f"{SERVICE}/ModelMetadata", request, "oip.ModelMetadataResponse")
        self.assertEqual(("w", "workflow", ["1.0"]), (found.name, found.platform, list(found.versions)))
