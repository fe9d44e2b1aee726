"""Management answers alike, whether workers are here or on nodes, in both dialects. It needs no Ray."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from bench.program_driver import NODES
from tests.harness.server_process import ServerProcess, ServerTests

pytestmark = pytest.mark.slow
ECHO = """
def handle(data, context):
    return None if data is None else [row.get("body", row.get("data")) for row in data]
"""
BROKEN = "import no_such_module_anywhere\n"
OWN = (
    *("id", "workerId", "startTime", "pid", "memoryUsage", "memoryPrivate", "memoryShared", "threads"),
    *("gpuUsage", "placement", "template", "at", "traceback", "stderr"),
)
"""What is each worker's own, or only some have; models are loaded by a template here, as tracebacks show."""
CALLS: Sequence[tuple[str, str]] = (
    ("GET", "/models"),
    ("POST", "/models?url=echo.mar&initial_workers=1&synchronous=true&placement={where}"),
    ("POST", "/models?url=echo.mar&initial_workers=1&synchronous=true&placement={where}"),
    ("GET", "/models"),
    ("GET", "/models/echo"),
    ("PUT", "/models/echo?min_worker=2&synchronous=true"),
    ("GET", "/models/echo"),
    ("PUT", "/models/echo?min_worker=2&max_worker=1"),
    ("PUT", "/models/echo?min_worker=x"),
    ("PUT", "/models/echo/1.0/set-default"),
    ("GET", "/models/echo/all"),
    ("GET", "/models/echo?customized=true"),
    ("PUT", "/models/echo?min_worker=0&max_worker=0&synchronous=true"),
    ("GET", "/models/echo"),
    ("DELETE", "/models/echo"),
    ("GET", "/models/echo"),
    ("DELETE", "/models/echo"),
    ("POST", "/models?url=nowhere.mar&placement={where}"),
    ("POST", "/models?url=broken.mar&initial_workers=1&synchronous=true&placement={where}"),
    ("GET", "/models"),
)


def without_own(value: Any) -> Any:
    """Return a document without what is a worker's own."""
    if isinstance(value, dict):
        return {key: without_own(each) for key, each in value.items() if key not in OWN}
    return [without_own(each) for each in value] if isinstance(value, list) else value


class SameAnswersTests(ServerTests):
    """One server for each dialect, asked the same about workers here and on a node of this machine."""

    def serve(self, dialect: str) -> ServerProcess:
        """A server with one node that is this machine."""
        made = TemporaryDirectory()
        self.addCleanup(made.cleanup)
        folder = Path(made.name)
        nodes = folder / "nodes.json"
        node = {
            "name": "node",
            "prefix": [],
            "address": "127.0.0.1",
            "processors": 4,
            "environment": {},
        }
        nodes.write_text(json.dumps({"host": "127.0.0.1", "python": sys.executable, "nodes": [node]}))
        properties = {
            "ray_address": "auto",
            "dialect": dialect,
            "enable_model_api": "true",
            "disable_token_authorization": "true",
        }
        server = ServerProcess(
            folder / "server",
            properties,
            environment={NODES: str(nodes)},
            program=("-m", "bench.program_server"),
        )
        server.folder.mkdir()
        server.store.mkdir()
        self.add_model(server, "echo", ECHO)
        self.add_model(server, "broken", BROKEN)
        server.start()
        self.addCleanup(server.end)
        return server

    def told(self, server: ServerProcess, where: str) -> list[tuple[str, str, int, object]]:
        """What each call is answered."""
        answers = []
        for method, path in CALLS:
            answer = server.management(method, path.format(where=where))
            answers.append((method, path, answer.status, without_own(answer.json())))
        return answers

    def test_torchserve(self) -> None:
        self.compare("torchserve")

    def test_multi_model_server(self) -> None:
        self.compare("mms")

    def compare(self, dialect: str) -> None:
        """Ask for both, and compare."""
        server = self.serve(dialect)
        here, there = self.told(server, "local"), self.told(server, "ray")
        self.assertEqual(here, there)
        self.assertIn(200, [status for _, _, status, _ in here])
