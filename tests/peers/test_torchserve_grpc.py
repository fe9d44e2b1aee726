"""
The same gRPC calls are answered alike by TorchServe and here: code, text, and what the answer says.

Set ``MODELSERVER_PEER_TS`` as for the other tests beside TorchServe; without it these are skipped. What is
known to be answered otherwise is in ``docs/compatibility-grpc.md``, and not asked here.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar
from unittest import skipUnless

import pytest

from tests.harness.rpc_stubs import PEER, TorchServeApi, has_grpcio, own_api
from tests.harness.server_process import HOST, LONGEST, ServerProcess, eventually, free_ports
from tests.peers.peer_servers import PeerTestCase

if has_grpcio():
    import grpc

HANDLER = Path(__file__).with_name("rpc_handler.py")
Told = tuple[str, object]
"""The name of a code, and the text of the error, or what the answer says."""
UNLIKE = ("workers", "jobQueueStatus", "loadedAtStartup")
"""What a description says of processes and times."""
OURS = ("template", "restarts", "lastFailure")
"""What only our descriptions say."""

PREDICTIONS = (
    *("inputs", "", "raise", "memory", "400", "403", "404", "409", "416", "429", "501", "599"),
    *("dict", "list", "int", "none", "bytes", "status"),
)
"""What the input ``data`` says."""
REFUSED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("RegisterModel", {}),
    ("RegisterModel", {"url": "nope.mar"}),
    ("RegisterModel", {"url": "../nope.mar"}),
    ("DescribeModel", {"model_name": "nope"}),
    ("DescribeModel", {"model_name": "echo", "model_version": "9.9"}),
    ("DescribeModel", {}),
    ("ScaleWorker", {"model_name": "nope"}),
    ("ScaleWorker", {"model_name": "nope", "min_worker": 1}),
    ("ScaleWorker", {"model_name": "echo", "model_version": "9.9", "min_worker": 1}),
    ("ScaleWorker", {"model_name": "echo", "min_worker": 3, "max_worker": 2}),
    ("SetDefault", {"model_name": "nope", "model_version": "1.0"}),
    ("SetDefault", {"model_name": "echo", "model_version": "9.9"}),
    ("SetDefault", {"model_name": "echo"}),
    ("SetDefault", {}),
    ("UnregisterModel", {}),
    ("UnregisterModel", {"model_name": "nope"}),
    ("UnregisterModel", {"model_name": "echo", "model_version": "9.9"}),
)
"""Calls of ManagementAPIsService that change nothing."""
LIVES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("RegisterModel", {"url": "life.mar", "initial_workers": 0, "synchronous": True}),
    ("DescribeModel", {"model_name": "life"}),
    ("RegisterModel", {"url": "life2.mar", "model_name": "life", "initial_workers": 1, "synchronous": True}),
    ("DescribeModel", {"model_name": "life", "model_version": "all"}),
    ("DescribeModel", {"model_name": "life", "model_version": "2.0"}),
    ("ListModels", {"limit": 1}),
    ("ListModels", {"limit": 2, "next_page_token": 1}),
    ("ListModels", {"limit": 100}),
    ("ListModels", {"limit": 5, "next_page_token": 50}),
    ("SetDefault", {"model_name": "life", "model_version": "2.0"}),
    ("ScaleWorker", {"model_name": "life", "min_worker": 2, "max_worker": 2, "synchronous": True}),
    (
        "ScaleWorker",
        {"model_name": "life", "model_version": "1.0", "min_worker": 1, "synchronous": True, "timeout": -1},
    ),
    ("ScaleWorker", {"model_name": "life", "min_worker": 1, "max_worker": 1}),
    ("DescribeModel", {"model_name": "life"}),
    ("UnregisterModel", {"model_name": "life", "model_version": "1.0"}),
    ("UnregisterModel", {"model_name": "life"}),
    ("DescribeModel", {"model_name": "life"}),
    ("RegisterModel", {"url": "life.mar", "batch_size": 4, "max_batch_delay": 7, "response_timeout": 9}),
    ("DescribeModel", {"model_name": "life"}),
    ("UnregisterModel", {"model_name": "life", "model_version": ""}),
)
"""Calls that belong together, in order."""


@skipUnless(PEER and has_grpcio(), "MODELSERVER_PEER_TS names no TorchServe, or there is no grpcio")
@pytest.mark.timeout(300)
class TorchServeGrpcTests(PeerTestCase):
    """One model, made by the original archiver, in both servers, asked by the same messages."""

    api: ClassVar[TorchServeApi]
    channels: ClassVar[dict[str, tuple[Any, Any]]]

    @classmethod
    def setUpClass(cls) -> None:
        """Pack the models, and start both servers."""
        settings = {
            "disable_token_authorization": "true",
            "enable_model_api": "true",
            "default_workers_per_model": "1",
            "expose_errors": "false",
        }
        arguments = ["--models", "echo=echo.mar"]
        ours = ServerProcess(cls.new_folder() / "ours", settings, arguments, has_rpc=True)
        ours.store.mkdir(parents=True)
        for name, version in (("echo", "1.0"), ("life", "1.0"), ("life2", "2.0")):
            archiver = [f"{PEER}/torch-model-archiver", "--model-name", name, "--version", version]
            options = ["--handler", str(HANDLER), "--export-path", str(ours.store)]
            subprocess.run([*archiver, *options], check=True, timeout=LONGEST)
        inference, management, metrics, *rpc = free_ports(5)
        properties = {
            "inference_address": f"http://{HOST}:{inference}",
            "management_address": f"http://{HOST}:{management}",
            "metrics_address": f"http://{HOST}:{metrics}",
            "grpc_inference_port": rpc[0],
            "grpc_management_port": rpc[1],
            **{name: value for name, value in settings.items() if name != "expose_errors"},
        }
        command = [f"{PEER}/torchserve", "--ncs", "--foreground", "--model-store", str(ours.store)]
        command += ["--ts-config", "config.properties", *arguments]
        cls.start_peer(PEER, command, properties)
        ours.start()
        cls.addClassCleanup(ours.end)
        cls.api = own_api()
        cls.channels = {"ours": cls._open(ours.rpc_ports), "theirs": cls._open(rpc)}
        for whose in cls.channels:
            eventually(lambda whose=whose: cls.predicted(whose, b"")[0] == "OK", 120.0)  # type: ignore[misc]  # it has a default

    @classmethod
    def _open(cls, ports: list[int]) -> tuple[Any, Any]:
        channels = [grpc.insecure_channel(f"{HOST}:{port}") for port in ports]
        for channel in channels:
            cls.addClassCleanup(channel.close)
        return cls.api.inference(channels[0]), cls.api.management(channels[1])

    @classmethod
    def predicted(cls, whose: str, data: bytes, model: str = "echo", version: str = "") -> Told:
        """What comes of a prediction."""
        return _told(
            lambda: (
                cls.channels[whose][0]
                .Predictions(cls.api.request(model, version, data=data), timeout=LONGEST)
                .prediction
            )
        )

    def managed(self, whose: str, method: str, fields: dict[str, Any]) -> Told:
        """What comes of a management call."""
        request = self.api.message(f"{method}Request")(**fields)
        call = getattr(self.channels[whose][1], method)
        code, said = _told(lambda: call(request, timeout=LONGEST).msg)
        return code, _comparable(said)

    def compare(self, ask: Callable[..., object], *arguments: object) -> None:
        """Compare what both say."""
        self.assertEqual(ask("ours", *arguments), ask("theirs", *arguments))

    def streamed(self, whose: str, data: bytes) -> Told:
        """What comes of a stream."""
        request = self.api.request("echo", "", data=data)
        stream = self.channels[whose][0].StreamPredictions(request, timeout=LONGEST)
        return _told(lambda: [each.prediction for each in stream])

    def pinged(self, whose: str) -> Told:
        """What comes of a ping."""
        empty = self.api.message("Empty")()
        code, said = _told(lambda: self.channels[whose][0].Ping(empty, timeout=LONGEST).health)
        return code, str(said).strip()

    def test_predictions(self) -> None:
        for what in PREDICTIONS:
            with self.subTest(what):
                self.compare(self.predicted, what.encode())

    def test_refused_predictions(self) -> None:
        for model, version in (("", ""), ("nope", ""), ("echo", "9.9"), ("nope", "1.0")):
            with self.subTest((model, version)):
                self.compare(self.predicted, b"", model, version)

    def test_streams(self) -> None:
        for what in (b"parts", b"raise", b"404"):
            with self.subTest(what):
                self.compare(self.streamed, what)

    def test_ping(self) -> None:
        self.compare(self.pinged)

    def test_refused_management_calls(self) -> None:
        for method, fields in REFUSED:
            with self.subTest((method, fields)):
                self.compare(self.managed, method, fields)

    def test_the_life_of_a_model(self) -> None:
        for step, (method, fields) in enumerate(LIVES):
            with self.subTest((step, method, fields)):
                self.compare(self.managed, method, fields)


def _told(ask: Any) -> Told:
    try:
        return "OK", ask()
    except grpc.RpcError as error:
        return error.code().name, error.details()


def _comparable(said: object) -> object:
    """What is to be the same: of a description, not the processes and times."""
    if not isinstance(said, str) or said[:1] not in "[{" or not said:
        return said
    document = json.loads(said)
    if isinstance(document, list):
        for version in document:
            for name in OURS:
                version.pop(name, None)
            for name in UNLIKE:
                value = version.pop(name, None)
                version[f"number of {name}"] = len(value) if isinstance(value, list) else value is not None
    return document
