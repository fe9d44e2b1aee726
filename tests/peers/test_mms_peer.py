"""
The same handler file gives the same answers under Multi Model Server and here, in its dialect.

Set ``MODELSERVER_PEER_MMS`` to the ``bin`` folder of an environment with multi-model-server and
model-archiver (Java must be on the path, too); without it these tests are skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from unittest import skipUnless

import pytest

from tests.harness.server_process import HOST, LONGEST, ServerProcess
from tests.peers.peer_servers import PeerTestCase
from tests.peers.probe_requests import HANDLER, MULTIPART, PARTS, SAME, Ask

PEER = os.environ.get("MODELSERVER_PEER_MMS", "")

SAME_AS_MMS: dict[str, Ask] = {
    **SAME,
    "below a model": Ask("/predictions/probe/1.0/a", b"x"),
}
"""Requests whose answers are the same: status, reason phrase, headers and body."""

HEADERS = {
    "prediction": Ask.do("headers"),
    "invoke": Ask.do("headers", path="/models/probe/invoke"),
    "multipart": Ask(body=PARTS, headers={**MULTIPART, "X-Do": "headers"}),
}
"""Requests whose headers the handler sees alike, whatever their order."""


@skipUnless(PEER, "MODELSERVER_PEER_MMS names no Multi Model Server")
@pytest.mark.timeout(300)
class MmsPeerTests(PeerTestCase):
    """One archive, made by the original archiver, in both servers."""

    @classmethod
    def setUpClass(cls) -> None:
        """Pack the probe, and start both servers."""
        folder = cls.new_folder()
        ours = ServerProcess(
            folder / "ours",
            {"default_workers_per_model": "1", "expose_errors": "false"},
            ["--dialect", "mms", "--models", "probe=probe.mar"],
        )
        ours.store.mkdir(parents=True)
        model = folder / "model"
        model.mkdir()
        shutil.copy(HANDLER, model)
        archiver = [f"{PEER}/model-archiver", "--model-name", "probe", "--model-path", str(model)]
        subprocess.run(
            [*archiver, "--handler", f"{HANDLER.stem}:handle", "--export-path", str(ours.store)],
            check=True,
            timeout=LONGEST,
        )
        cls._start_mms(ours.store)
        cls.start_ours(ours)

    @classmethod
    def _start_mms(cls, store: Path) -> None:
        cls.peer_port, management = islice(_low_ports(), 2)
        properties = {
            "inference_address": f"http://{HOST}:{cls.peer_port}",
            "management_address": f"http://{HOST}:{management}",
            "default_workers_per_model": 1,
        }
        command = [f"{PEER}/multi-model-server", "--start", "--foreground", "--model-store", str(store)]
        command += ["--mms-config", "config.properties", "--models", "probe=probe.mar"]
        cls.start_peer(PEER, command, properties)

    def test_answers_are_the_same(self) -> None:
        self.check_answers(SAME_AS_MMS)

    def test_context_is_the_same_for_handlers(self) -> None:
        """Apart from the model-config, which only TorchServe has."""
        ours, theirs = (json.loads(told.body) for told in self.both(Ask.do("context")))
        self.assertEqual(ours, {**theirs, "yaml": {}})

    def test_headers_are_the_same_for_handlers(self) -> None:
        self.check_headers(HEADERS)


def _low_ports() -> Iterator[int]:
    """Free ports of those that Multi Model Server can be given: they are below 32768."""
    first = 20000 + os.getpid() % 12000
    for port in range(first, 32768):
        try:
            socket.create_server((HOST, port)).close()
        except OSError:
            continue
        yield port
