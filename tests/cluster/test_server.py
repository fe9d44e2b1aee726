"""A server whose workers are on two faked nodes, through its APIs, and through what befalls them."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import TestCase

import psutil
import pytest

from modelserver.cli.quickstart.command import pack_digits, samples
from tests.cluster.faked_nodes import FakedCluster
from tests.cluster.handlers import ECHO
from tests.harness.server_process import ROOT, ServerProcess, eventually, is_alive

pytestmark = pytest.mark.slow
_started: list[FakedCluster] = []


def setUpModule() -> None:
    """Start one cluster for all tests."""
    _started.append(FakedCluster((2, 2)))


def tearDownModule() -> None:
    """End it."""
    while _started:
        _started.pop().end()


class ClusterServerTests(TestCase):
    """One server for each test; the cluster is for all."""

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        properties = {"ray_address": _started[0].address, "disable_token_authorization": "true"}
        self.server = ServerProcess(
            Path(folder.name),
            {**properties, "enable_model_api": "true", "remote_silence": "1", "remote_lost": "4"},
            environment={"PYTHONPATH": os.pathsep.join(map(str, [ROOT, *_site_folders()]))},
        )
        self.server.store.mkdir()
        self.server.add_model("echo", ECHO)
        self.server.start()
        self.addCleanup(self.server.end)

    def registered(self, workers: int) -> None:
        """Serve ``echo`` with so many workers on the cluster."""
        answer = self.server.register("echo.mar", placement="ray", initial_workers=workers)
        self.assertEqual(200, answer.status, answer.text)
        self.assertEqual(workers, self.server.ready("echo"))

    def test_management_calls_answer_as_with_local_workers(self) -> None:
        told = []
        for where in ("local", "ray"):
            shapes = [self.server.register("echo.mar", placement=where).text]
            shapes += [self.server.scale("echo", 2).text, self.server.predict("echo", b"x" * 200_000).text]
            description = self.server.management("GET", "/models/echo").json()[0]
            description.pop("template", None)  # remote workers come from none
            description["workers"] = [each["status"] for each in description["workers"]]
            shapes.append(repr(description))
            shapes.append(self.server.scale("echo", 1).text)
            shapes.append(self.server.management("GET", "/models").text)
            shapes.append(self.server.management("DELETE", "/models/echo").text)
            told.append(shapes)
        self.assertEqual(told[0], told[1])

    def test_ten_digits_are_read(self) -> None:
        pack_digits(self.server.store)
        answer = self.server.register("digits.mar", placement="ray", initial_workers=2)
        self.assertEqual(200, answer.status, answer.text)
        read = {path.stem: self.server.predict("digits", path.read_bytes()) for path in samples(1)}
        self.assertEqual(10, len(read))
        self.assertEqual({200}, {answer.status for answer in read.values()})
        told = {name: str(answer.json()["digit"]) for name, answer in read.items()}
        self.assertEqual(10, sum(name.startswith(digit) for name, digit in told.items()), told)

    def test_killed_processes_cost_no_request(self) -> None:
        self.registered(2)
        failed: list[object] = []
        stop = threading.Event()

        def ask() -> None:
            while not stop.is_set():
                answer = self.server.predict("echo", b"hello")
                if (answer.status, answer.body) != (200, b"hello"):
                    failed.append((answer.status, answer.text))

        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        for victim in ("worker", "agent", "actor"):
            pid = self.server.pids("echo")[0]
            family = [psutil.Process(pid), *psutil.Process(pid).parents()]
            family[("worker", "agent", "actor").index(victim)].kill()
            eventually(lambda pid=pid: pid not in self.server.pids("echo"))  # type: ignore[misc]
            eventually(lambda: self.server.ready("echo") == 2)
        stop.set()
        for thread in threads:
            thread.join(60)
        self.assertEqual([], failed)

    def test_killed_server_takes_its_workers_along(self) -> None:
        self.registered(2)
        pids = self.server.pids("echo")
        self.server.kill()
        eventually(lambda: not any(is_alive(pid) for pid in pids), 20)

    def test_server_ends_at_term_with_its_workers(self) -> None:
        self.registered(1)
        pids = self.server.pids("echo")
        self.server.process.send_signal(signal.SIGTERM)
        self.server.process.wait(30)
        eventually(lambda: "Server Shut Down" in self.server.log)
        eventually(lambda: not any(is_alive(pid) for pid in pids), 20)

    def test_two_servers_share_a_cluster(self) -> None:
        self.registered(1)
        first = self.server
        self.setUp()
        self.registered(1)
        asked = ((first, b"a"), (self.server, b"b"))
        self.assertEqual([b"a", b"b"], [server.predict("echo", body).body for server, body in asked])

    def test_zz_node_that_is_killed_costs_no_request(self) -> None:
        """Comes last, by its name: the node does not come back."""
        self.registered(2)
        for pid in self.server.pids("echo"):
            if _node_of(pid) == 1:
                break
        else:
            self.skipTest("Ray has put both workers on one node")
        _started[0].kill(1)
        answers = [self.server.predict("echo", b"%d" % number) for number in range(200)]
        self.assertEqual([b"%d" % number for number in range(200)], [answer.body for answer in answers])
        eventually(lambda: self.server.ready("echo") == 2)


def _node_of(pid: int) -> int | None:
    """Return the place of the node below whose raylet a process is."""
    above = {process.pid for process in psutil.Process(pid).parents()}
    raylets = [node.all_processes["raylet"][0].process.pid for node in _started[0].nodes]
    return next((place for place, raylet in enumerate(raylets) if raylet in above), None)


def _site_folders() -> list[str]:
    """Return where this interpreter finds what is installed: the server's is told nothing else."""
    return [path for path in sys.path if path.endswith("site-packages")]
