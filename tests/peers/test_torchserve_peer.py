"""
The same handler file gives the same answers under TorchServe and here.

Set ``MODELSERVER_PEER_TS`` to the ``bin`` folder of an environment with torchserve and torch-model-archiver
(Java 17 must be on the path, too); without it these tests are skipped.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from unittest import skipUnless

import pytest

from tests.harness.server_process import HOST, LONGEST, ServerProcess, free_ports
from tests.peers.peer_servers import PeerTestCase
from tests.peers.probe_requests import FORM, HANDLER, JSON, MULTIPART, PARTS, SAME, TEXT, Ask

PEER = os.environ.get("MODELSERVER_PEER_TS", "")

SAME_AS_TORCHSERVE: dict[str, Ask] = {
    **SAME,
    "JSON with parameters": Ask(body=b"1", headers={"Content-Type": "application/json; charset=utf-8"}),
    "JSON in capitals": Ask(body=b"1", headers={"Content-Type": "Application/JSON"}),
    "broken JSON": Ask(body=b'{"a": ', headers=JSON),
    "broken text": Ask(body=b"\xff\xfe", headers=TEXT),
    "multipart without a boundary": Ask(body=PARTS, headers={"Content-Type": "multipart/form-data"}),
    "form before query": Ask("/probe/predict?a=q", b"a=form", FORM),
    "version": Ask("/predictions/probe/1.0", b"x"),
    "old route with a version": Ask("/probe/1.0/predict", b"x"),
    "KServe 2": Ask("/v2/models/probe/infer", b"x"),
    "unknown version": Ask("/predictions/probe/7.0", b"x"),
    **{what: Ask.do(what) for what in ("cuda", "context")},
}
"""Requests whose answers are the same: status, reason phrase, headers and body."""

HEADERS = {
    "prediction": Ask.do("headers", path="/predictions/probe/1.0/a/b"),
    "explanation": Ask.do("headers", path="/explanations/probe"),
    "invoke": Ask.do("headers", path="/models/probe/invoke"),
    "multipart": Ask(body=PARTS, headers={**MULTIPART, "X-Do": "headers"}),
}
"""Requests whose headers the handler sees alike, whatever their order."""

MODELS = {
    "probe": "",
    "turns": "continuousBatching: true\nbatchSize: 2\nmaxBatchDelay: 10\n",
    "side": "asyncCommunication: true\n",
}
ARCHIVES = [f"{name}={name}.mar" for name in MODELS]
MODES = {
    f"{name}: {what}": Ask.do(what, path=f"/predictions/{name}")
    for name, done in {
        "turns": ("criterion", "status", "no word", "none"),
        "side": ("answer", "parts", "exception", "prediction", "count"),
    }.items()
    for what in done
}
"""Requests to a handler with continuous batching, and to an asynchronous one."""


@skipUnless(PEER, "MODELSERVER_PEER_TS names no TorchServe")
@pytest.mark.timeout(300)
class TorchServePeerTests(PeerTestCase):
    """One archive, made by the original archiver, in both servers."""

    @classmethod
    def setUpClass(cls) -> None:
        """Pack the probe, and start both servers."""
        ours = ServerProcess(
            cls.new_folder() / "ours",
            {
                "disable_token_authorization": "true",
                "default_workers_per_model": "1",
                "expose_errors": "false",
            },
            ["--models", " ".join(ARCHIVES)],
        )
        ours.store.mkdir(parents=True)
        for name, config in MODELS.items():
            cls._pack(name, config, ours.store)
        cls._start_torchserve(ours.store)
        cls.start_ours(ours, (Ask(), MODES["turns: criterion"], MODES["side: answer"]))

    @classmethod
    def _pack(cls, name: str, config: str, store: Path) -> None:
        archiver = [f"{PEER}/torch-model-archiver", "--model-name", name, "--version", "1.0"]
        handler = HANDLER.with_name(f"{name}_handler.py")
        options = ["--handler", str(handler), "--export-path", str(store)]
        if config:
            file = store.parent / f"{name}.yaml"
            file.write_text(config)
            options += ["--config-file", str(file)]
        subprocess.run([*archiver, *options], check=True, timeout=LONGEST)

    @classmethod
    def _start_torchserve(cls, store: Path) -> None:
        cls.peer_port, management, metrics, *grpc = free_ports(5)
        properties = {
            "inference_address": f"http://{HOST}:{cls.peer_port}",
            "management_address": f"http://{HOST}:{management}",
            "metrics_address": f"http://{HOST}:{metrics}",
            "grpc_inference_port": grpc[0],
            "grpc_management_port": grpc[1],
            "disable_token_authorization": "true",
            "default_workers_per_model": 1,
        }
        command = [f"{PEER}/torchserve", "--ncs", "--foreground", "--model-store", str(store)]
        command += ["--ts-config", "config.properties", "--models", *ARCHIVES]
        cls.start_peer(PEER, command, properties)

    def test_answers_are_the_same(self) -> None:
        self.check_answers(SAME_AS_TORCHSERVE)

    def test_modes_of_inference_are_the_same(self) -> None:
        self.check_answers(MODES)

    def test_headers_are_the_same_for_handlers(self) -> None:
        self.check_headers(HEADERS)

    def test_tensors_are_the_same(self) -> None:
        """What ``torch.save`` writes of one tensor depends on torch, so it is compared when loaded."""
        torch = pytest.importorskip("torch")
        from io import BytesIO

        ours, theirs = (torch.load(BytesIO(told.body)) for told in self.both(Ask.do("tensor")))
        self.assertTrue(torch.equal(ours, theirs))
