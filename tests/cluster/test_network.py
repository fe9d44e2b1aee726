"""
A server and nodes in networks of their own, through what befalls the cable, the nodes and the server.

Agents are started by a driver of the tests instead of Ray's; everything else is as it is with Ray. It needs
root, and is run by hand: ``make cluster-test``.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import SkipTest, TestCase

import pytest

from tests.cluster.handlers import ECHO
from tests.cluster.network_nodes import SERVER, NetworkCluster, NetworkNode, OwnNetwork
from tests.cluster.paced_load import PacedLoad, closed_rate
from tests.cluster.program_driver import LOSS, NODES
from tests.harness.server_process import ServerProcess, eventually, is_alive

pytestmark = pytest.mark.slow
OTHER = ECHO.replace("return [row", "return [b'other ' + row")
_own: list[OwnNetwork] = []


def setUpModule() -> None:
    """Have a network of one's own, where it was asked for."""
    if os.environ.get("CLUSTER_NETWORK") != "1":
        raise SkipTest("CLUSTER_NETWORK=1 has these tests run; they need root")
    _own.append(OwnNetwork())


def tearDownModule() -> None:
    """Leave it."""
    while _own:
        _own.pop().leave()


class NetworkCase(TestCase):
    """A server, and so many nodes."""

    silence, lost = 1.0, 15.0

    def start(self, nodes: int, processors: int = 1, loss: int = 0) -> None:
        """Start the server; nothing is placed yet."""
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.cluster = NetworkCluster(Path(folder.name) / "nodes.json")
        for number in range(1, nodes + 1):
            node = NetworkNode(number, processors, loss=loss)
            self.addCleanup(node.remove)
            self.cluster.nodes.append(node)
        self.server = self.new_server(Path(folder.name) / "server", loss)
        self.cluster.write()
        self.server.start()
        self.addCleanup(self.server.end)

    def new_server(self, folder: Path, loss: int = 0) -> ServerProcess:
        """A server with a model in its store, which is not started yet."""
        folder.mkdir()
        server = ServerProcess(
            folder,
            {
                "ray_address": "auto",
                "remote_address": SERVER,
                "remote_silence": f"{self.silence:g}",
                "remote_lost": f"{self.lost:g}",
                "disable_token_authorization": "true",
                "enable_model_api": "true",
            },
            environment={NODES: str(self.cluster.file), LOSS: str(loss)},
            program=("-m", "tests.cluster.server_program"),
        )
        server.store.mkdir()
        server.add_model("echo", ECHO)
        return server

    def serve(self, workers: int) -> None:
        """Serve ``echo`` with so many workers on the nodes."""
        answer = self.server.register("echo.mar", placement="ray", initial_workers=workers)
        self.assertEqual((200, workers), (answer.status, self.server.ready("echo")), answer.text)

    def on(self, node: NetworkNode) -> list[int]:
        """The processes of workers that the server has on a node."""
        return [
            worker["pid"]
            for worker in self.server.workers("echo")
            if worker.get("placement", {}).get("node") == node.name and worker.get("pid")
        ]

    def metric(self, name: str, node: NetworkNode) -> float:
        """A number of a node, as the server's metrics have it; 0 where there is none."""
        begin = f'modelserver_node_{name}{{node="{node.name}",'
        found = [line for line in self.server.scrape().splitlines() if line.startswith(begin)]
        return float(found[0].split()[-1]) if found else 0.0


class CableTests(NetworkCase):
    """The cable of one of two nodes."""

    def test_cut_of_five_seconds_costs_nothing(self) -> None:
        self.start(2)
        self.serve(2)
        node = self.cluster.nodes[0]
        pids = sorted(self.server.pids("echo"))
        with PacedLoad(self.server, "echo", 40) as load:
            eventually(lambda: load.answered > 40)
            node.pull_cable()
            began = time.monotonic()
            eventually(lambda: self.metric("suspect_workers", node) == 1, self.silence + 1.0)
            time.sleep(max(0.0, began + 5.0 - time.monotonic()))
            node.plug_in()
            eventually(lambda: self.metric("suspect_workers", node) == 0, 10)
            before = self.metric("received_bytes_total", node)
            eventually(lambda: self.metric("received_bytes_total", node) > before + 5_000, 10)
        self.assertEqual([], load.failed)
        self.assertEqual(pids, sorted(self.server.pids("echo")))
        self.assertNotIn("restarts", self.server.management("GET", "/models/echo").text)

    def test_three_of_ten_segments_may_be_lost_in_both_directions(self) -> None:
        self.start(2, loss=30)
        self.serve(2)
        pids = sorted(self.server.pids("echo"))
        with PacedLoad(self.server, "echo", 10) as load:
            eventually(lambda: load.answered > 100, 60)
        self.assertEqual([], load.failed)
        self.assertEqual(pids, sorted(self.server.pids("echo")))


class LossTests(NetworkCase):
    """What does not come back."""

    silence, lost = 1.0, 4.0

    def test_cable_that_stays_out_ends_its_worker_on_both_sides(self) -> None:
        self.start(2)
        self.serve(2)
        node = self.cluster.nodes[0]
        (pid,) = self.on(node)
        with PacedLoad(self.server, "echo", 40) as load:
            eventually(lambda: load.answered > 40)
            node.is_alive = False
            self.cluster.write()
            node.pull_cable()
            eventually(lambda: self.metric("suspect_workers", node) == 1, self.silence + 1.0)
            eventually(lambda: self.metric("lost_workers_total", node) == 1, self.lost + 1.0)
            eventually(lambda: not is_alive(pid), self.lost + 2.0)
        self.assertEqual([], load.failed)
        (worker,) = (each for each in self.server.workers("echo") if each["status"] != "READY")
        self.assertIn("asked for CPU 1; free", worker["placement"]["reason"])

    def test_workers_of_a_server_that_is_silent_for_good_end(self) -> None:
        self.start(1)
        self.serve(1)
        (pid,) = self.server.pids("echo")
        self.cluster.nodes[0].pull_cable()
        self.server.kill()
        self.assertTrue(is_alive(pid))
        eventually(lambda: not is_alive(pid), self.lost + 2.0)

    def test_node_that_is_killed_under_load_costs_no_request(self) -> None:
        """Three nodes of a hundred requests a second each, at 60 %."""
        self.start(3)
        self.serve(3)
        node = self.cluster.nodes[0]
        with PacedLoad(self.server, "echo", 150) as load:
            eventually(lambda: load.answered > 150)
            self.cluster.kill(node)
            eventually(lambda: not self.on(node), 1.0)
            killed = load.answered
            eventually(lambda: load.answered > killed + 300)
        self.assertEqual([], load.failed)
        self.assertEqual(1, self.metric("lost_workers_total", node))


class RateTests(NetworkCase):
    """How much more nodes do."""

    def test_three_nodes_do_nine_tenths_of_three_times_as_much_as_one(self) -> None:
        self.start(3)
        rates = []
        for workers in (1, 3):
            self.serve(workers)
            closed_rate(self.server, "echo", 4 * workers, 1.0)
            rates.append(closed_rate(self.server, "echo", 4 * workers, 5.0))
            self.assertEqual(200, self.server.management("DELETE", "/models/echo").status)
        one, three = rates
        print(f"one node: {one:.1f}/s, three: {three:.1f}/s, {100 * three / one / 3:.1f} %", file=sys.stderr)
        self.assertGreater(three, 0.9 * 3 * one)


class FileTests(NetworkCase):
    """The files of models, on a node that does not see the server's."""

    def start_apart(self, size: int = 1 << 26) -> None:
        """Start a server whose one node has a disk of so many bytes."""
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.cluster = NetworkCluster(Path(folder.name) / "nodes.json")
        self.server = self.new_server(Path(folder.name) / "server")
        hidden = self.server.temporary
        node = NetworkNode(1, environment={"TMPDIR": str(hidden)}, hidden=hidden, size=size)
        self.addCleanup(node.remove)
        self.cluster.nodes.append(node)
        self.cluster.write()
        self.server.start()
        self.addCleanup(self.server.end)

    def test_full_disk_is_the_reason(self) -> None:
        self.start_apart(size=1 << 16)
        self.server.add_model("large", f"{ECHO}\nTEXT = '{'x' * (1 << 20)}'\n")
        answer = self.server.register("large.mar", placement="ray")
        self.assertEqual(500, answer.status, answer.text)
        self.assertIn("No space left on device", answer.text)
        self.serve(1)
        self.assertEqual(b"a", self.server.predict("echo", b"a").body)

    def test_archive_that_was_changed_under_its_name_is_another_one(self) -> None:
        self.start_apart()
        self.serve(1)
        self.assertEqual(b"a", self.server.predict("echo", b"a").body)
        self.assertEqual(200, self.server.management("DELETE", "/models/echo").status)
        self.server.add_model("echo", OTHER)
        self.serve(1)
        self.assertEqual(b"other a", self.server.predict("echo", b"a").body)


class TwoServersTests(NetworkCase):
    """Two servers on one cluster."""

    def test_each_has_its_own_workers(self) -> None:
        self.start(1, processors=2)
        self.serve(1)
        first = self.server
        self.server = self.new_server(first.folder.parent / "second")
        self.server.start()
        self.addCleanup(self.server.end)
        self.serve(1)
        asked = ((first, b"a"), (self.server, b"b"))
        self.assertEqual([b"a", b"b"], [server.predict("echo", body).body for server, body in asked])
        self.assertEqual(2, len({*first.pids("echo"), *self.server.pids("echo")}))
        first.kill()
        self.assertEqual(b"c", self.server.predict("echo", b"c").body)
