"""Management over gRPC with real clients, beside the same calls over REST."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar
from unittest import TestCase, skipUnless

import pytest

from tests.harness.rpc_stubs import PEER, TorchServeApi, has_grpcio, own_api, peers_api
from tests.harness.server_process import HOST, LONGEST, ServerProcess

if has_grpcio():
    import grpc

pytestmark = pytest.mark.xdist_group("grpc-management")

NOOP = '''
"""Answers; describes itself."""

from ts.torch_handler.base_handler import BaseHandler


class Noop(BaseHandler):
    def initialize(self, context):
        self.initialized = True

    def describe_handle(self):
        return {"made": "for tests"}

    def handle(self, data, context):
        if context.get_request_header(0, "describe") == "True":
            return [self.describe_handle()]
        return ["ok"] * len(data)
'''
BROKEN = "raise ImportError('on purpose')\n"
NOT_FOUND = "\norg.pytorch.serve.archive.model.ModelNotFoundException"


@skipUnless(has_grpcio(), "grpcio is not installed")
class OwnManagementStubTests(TestCase):
    """The messages and stubs are of our own descriptors."""

    maxDiff = None
    server: ClassVar[ServerProcess]
    api: ClassVar[TorchServeApi]

    @classmethod
    def make_api(cls) -> TorchServeApi:
        """The stubs."""
        return own_api()

    @classmethod
    def setUpClass(cls) -> None:
        """Start one server for all."""
        cls.api = cls.make_api()
        folder = TemporaryDirectory(prefix="modelserver-test-")
        cls.addClassCleanup(folder.cleanup)
        properties = {"disable_token_authorization": "true", "enable_model_api": "true"}
        cls.server = server = ServerProcess(Path(folder.name), properties, has_rpc=True)
        server.store.mkdir()
        server.add_model("noop", NOOP)
        server.add_model("noop2", NOOP, version="2.0")
        server.add_model("broken", BROKEN)
        server.start()
        cls.addClassCleanup(server.end)

    def setUp(self) -> None:
        self.channel = grpc.insecure_channel(f"{HOST}:{self.server.rpc_ports[1]}")
        self.addCleanup(self.channel.close)
        self.stub = self.api.management(self.channel)
        self.addCleanup(self.remove_all)

    def remove_all(self) -> None:
        """Leave no model to the next test."""
        for each in self.server.management("GET", "/models").json()["models"]:
            for version in self.server.management("GET", f"/models/{each['modelName']}/all").json()[::-1]:
                path = f"/models/{each['modelName']}/{version['modelVersion']}"
                self.server.management("DELETE", path)
        self.assertEqual(self.server.management("GET", "/models").json()["models"], [])

    def call(self, method: str, message: str, **fields: object) -> str:
        """The ``msg`` of the answer."""
        request = self.api.message(message)(**fields)
        answer: str = getattr(self.stub, method)(request, timeout=LONGEST).msg
        return answer

    def register(self, url: str = "noop.mar", **fields: object) -> str:
        wanted = {"url": url, "initial_workers": 1, "synchronous": True, **fields}
        return self.call("RegisterModel", "RegisterModelRequest", **wanted)

    def refused(self, code: str, text: str, call: Callable[[], object]) -> None:
        """A call ends with this code, and its details begin so."""
        with self.assertRaises(grpc.RpcError) as caught:
            call()
        error: Any = caught.exception
        self.assertEqual(error.code().name, code, error.details())
        self.assertTrue(error.details().startswith(text), error.details())

    def test_life_of_a_model_with_the_texts_of_rest(self) -> None:
        self.assertEqual(self.register(), 'Model "noop" Version: 1.0 registered with 1 initial workers')
        self.assertEqual(
            self.call("ScaleWorker", "ScaleWorkerRequest", model_name="noop", min_worker=2, synchronous=True),
            "Workers scaled to 2 for model: noop",
        )
        self.assertEqual(self.server.ready("noop"), 2)
        self.register("noop2.mar", model_name="noop", initial_workers=0)
        self.assertEqual(
            self.call("SetDefault", "SetDefaultRequest", model_name="noop", model_version="2.0"),
            'Default version successfully updated for model "noop" to "2.0"',
        )
        self.assertEqual(
            self.call("UnregisterModel", "UnregisterModelRequest", model_name="noop", model_version="1.0"),
            'Model "noop" unregistered',
        )

    def test_descriptions_are_those_of_rest(self) -> None:
        self.register()
        self.register("noop2.mar", model_name="noop", initial_workers=0)
        for version in ("", "1.0", "all"):
            told = json.loads(
                self.call("DescribeModel", "DescribeModelRequest", model_name="noop", model_version=version)
            )
            path = f"/models/noop/{version}" if version else "/models/noop"
            shown = self.server.management("GET", path).json()
            for each in (*told, *shown):
                for worker in each["workers"]:
                    for key in ("memoryUsage", "memoryPrivate", "memoryShared"):
                        worker.pop(key, None)  # it may have grown, or be unknown in a moment
            self.assertEqual(told, shown, version)

    def test_a_customized_description(self) -> None:
        self.register()
        told = self.call("DescribeModel", "DescribeModelRequest", model_name="noop", customized=True)
        self.assertEqual(json.loads(told)[0]["customizedMetadata"], {"made": "for tests"})

    def test_lists_are_those_of_rest(self) -> None:
        for name in "abc":
            self.register(model_name=name, initial_workers=0)
        for limit, token, query in ((0, 0, ""), (2, 0, "?limit=2"), (2, 2, "?limit=2&next_page_token=2")):
            told = self.call("ListModels", "ListModelsRequest", limit=limit, next_page_token=token)
            self.assertEqual(told + "\n", self.server.management("GET", f"/models{query}").text, query)

    def test_asynchronous_is_the_default(self) -> None:
        self.assertEqual(self.register(synchronous=False), "Processing worker updates...")

    def test_without_workers(self) -> None:
        told = self.register(initial_workers=0)
        self.assertTrue(
            told.startswith('Model "noop" Version: 1.0 registered with 0 initial workers. Use scale workers')
        )

    def test_refusals(self) -> None:
        self.register(initial_workers=0)
        scale = "ScaleWorker", "ScaleWorkerRequest"
        for code, text, call in (
            ("INVALID_ARGUMENT", "Parameter url is required.", lambda: self.register("")),
            ("NOT_FOUND", "Model not found at: nope.mar", lambda: self.register("nope.mar")),
            ("NOT_FOUND", "Relative path is not allowed", lambda: self.register("../noop.mar")),
            ("NOT_FOUND", "Model not found: nope", lambda: self.call(*scale, model_name="nope")),
            (
                "INVALID_ARGUMENT",
                "max_worker cannot be less than min_worker.",
                lambda: self.call(*scale, model_name="noop", min_worker=3, max_worker=1),
            ),
            (
                "INTERNAL",
                "Failed to start workers for model broken version: 1.0",
                lambda: self.register("broken.mar"),
            ),
            (
                "NOT_FOUND",
                "Model not found: nope" + NOT_FOUND,
                lambda: self.call("DescribeModel", "DescribeModelRequest", model_name="nope"),
            ),
            (
                "NOT_FOUND",
                "Model version 9.9 does not exist for model noop",
                lambda: self.call("SetDefault", "SetDefaultRequest", model_name="noop", model_version="9.9"),
            ),
            (
                "NOT_FOUND",
                "Model not found: nope",
                lambda: self.call("UnregisterModel", "UnregisterModelRequest", model_name="nope"),
            ),
        ):
            with self.subTest(text):
                self.refused(code, text, call)

    def test_predictions_are_not_served_here(self) -> None:
        stub = self.api.inference(self.channel)
        with self.assertRaises(grpc.RpcError) as caught:
            stub.Predictions(self.api.request("noop"), timeout=LONGEST)
        error: Any = caught.exception
        self.assertEqual(error.code(), grpc.StatusCode.UNIMPLEMENTED)


@skipUnless(PEER, "MODELSERVER_PEER_TS is not set")
class PeersManagementStubTests(OwnManagementStubTests):
    """The same, with what protoc makes of TorchServe's files."""

    @classmethod
    def make_api(cls) -> TorchServeApi:
        """The stubs."""
        folder = TemporaryDirectory(prefix="modelserver-protos-")
        cls.addClassCleanup(folder.cleanup)
        return peers_api(Path(folder.name))
