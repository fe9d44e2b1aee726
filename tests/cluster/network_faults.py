"""What befalls the cable, the nodes and the server: classes of tests that each provider of nodes runs."""

from __future__ import annotations

import time

from tests.cluster.handlers import ECHO
from tests.cluster.network_case import NetworkCase
from tests.cluster.network_nodes import NetworkNode
from tests.cluster.paced_load import PacedLoad, closed_rate
from tests.harness.server_process import eventually, is_alive

OTHER = ECHO.replace("return [row", "return [b'other ' + row")
LOSS = 30
"""Of a hundred packets, each way."""
NOTICED = 1.0
"""Seconds after which a server has noticed that a connection is closed."""

BACK = 10.0
"""Seconds after a cut of five, in which any kernel has sent again what was lost."""
UNHURRIED = 15.0, 60.0
"""Seconds of silence, and of loss, where neither is tried: a busy machine is silent, too."""
ANSWERS = 400
"""Requests during which it is looked who answers them."""


def capacity_of(case: NetworkCase, nodes: int) -> float:
    """Start nodes with a worker each, and return the requests a second that they answer together."""
    case.start(nodes)
    case.serve(nodes)
    closed_rate(case.server, "echo", 4 * nodes, 1.0)
    return closed_rate(case.server, "echo", 4 * nodes, 3.0)


class CableFaults(NetworkCase):
    """The cable of one of two nodes."""

    __test__ = False

    def test_cut_of_five_seconds_costs_nothing(self) -> None:
        """Both nodes are needed for the load: which of two idle workers is asked says nothing of a cable."""
        capacity = capacity_of(self, 2)
        node = self.cluster.nodes[0]
        pids = sorted(self.server.pids("echo"))
        with PacedLoad(self.server, "echo", 0.6 * capacity) as load:
            eventually(lambda: load.answered > capacity)
            usual = self.said_during(load, ANSWERS, node)
            node.pull_cable()
            began = time.monotonic()
            eventually(lambda: self.metric("suspect_workers", node) == 1, self.silence + 1.0)
            time.sleep(max(0.0, began + 5.0 - time.monotonic()))
            node.plug_in()
            plugged = time.monotonic()
            eventually(lambda: self.metric("suspect_workers", node) == 0, BACK)
            back = time.monotonic() - plugged
            again = self.said_during(load, ANSWERS, node)
        print(f"60 % of {capacity:.0f}/s: back after {back:.2f} s; {usual:.0f}, then {again:.0f} bytes")
        self.assertEqual([], load.failed)
        self.assertEqual(pids, sorted(self.server.pids("echo")))
        self.assertNotIn("restarts", self.server.management("GET", "/models/echo").text)
        self.assertGreater(again, usual / 2)

    def said_during(self, load: PacedLoad, answers: int, node: NetworkNode) -> float:
        """Return how many bytes come from a node while so many requests are answered, by any of them."""
        first, before = load.answered, self.metric("received_bytes_total", node)
        eventually(lambda: load.answered >= first + answers)
        return self.metric("received_bytes_total", node) - before


class LossFaults(NetworkCase):
    """What does not come back."""

    __test__ = False
    silence, lost = 1.0, 4.0

    def test_cable_that_stays_out_ends_its_worker_on_both_sides(self) -> None:
        self.start(2)
        self.serve(2)
        node = self.cluster.nodes[0]
        (pid,) = self.on(node)
        with PacedLoad(self.server, "echo", 40) as load:
            eventually(lambda: load.answered > 40)
            self.cluster.leave_out(node)
            node.pull_cable()
            eventually(lambda: self.metric("suspect_workers", node) == 1, self.silence + 1.0)
            eventually(lambda: self.metric("lost_workers_total", node) == 1, self.lost + 1.0)
            eventually(lambda: not is_alive(pid), self.lost + 2.0)
        self.assertEqual([], load.failed)
        eventually(lambda: "asked for CPU 1; free" in self.reason_of_waiting())

    def reason_of_waiting(self) -> str:
        """What the worker that has no place says of it."""
        places = (
            each.get("placement", {}) for each in self.server.workers("echo") if each["status"] != "READY"
        )
        return "".join(place.get("reason", "") for place in places)

    def test_workers_of_a_server_that_is_silent_for_good_end(self) -> None:
        self.start(1)
        self.serve(1)
        (pid,) = self.server.pids("echo")
        self.cluster.nodes[0].pull_cable()
        self.server.kill()
        self.assertTrue(is_alive(pid))
        eventually(lambda: not is_alive(pid), self.lost + 2.0)

    def test_workers_of_a_killed_server_end(self) -> None:
        self.start(1)
        self.serve(1)
        (pid,) = self.server.pids("echo")
        self.server.kill()
        eventually(lambda: not is_alive(pid), self.lost)

    def test_node_that_is_killed_under_load_costs_no_request(self) -> None:
        """Three nodes at 60 % of what they do together."""
        capacity = capacity_of(self, 3)
        node = self.cluster.nodes[0]
        with PacedLoad(self.server, "echo", 0.6 * capacity) as load:
            eventually(lambda: load.answered > capacity)
            killed = time.monotonic()
            self.cluster.kill(node)
            eventually(lambda: not self.on(node), NOTICED)
            noticed = time.monotonic() - killed
            before = load.answered
            eventually(lambda: load.answered > before + 2 * capacity)
        print(f"60 % of {capacity:.0f}/s: killed, noticed after {noticed:.2f} s, {len(load.failed)} failed")
        self.assertEqual([], load.failed)
        self.assertEqual(1, self.metric("lost_workers_total", node))


class SilenceFaults(NetworkCase):
    """With the silence that is set by default."""

    __test__ = False
    silence, lost = 3.0, 15.0

    def test_three_of_ten_packets_may_be_lost_each_way(self) -> None:
        self.start(2)
        self.serve(2)
        pids = sorted(self.server.pids("echo"))
        for node in self.cluster.nodes:
            node.lose(LOSS)
        with PacedLoad(self.server, "echo", 10) as load:
            eventually(lambda: load.answered > 100)
        self.assertEqual([], load.failed)
        self.assertEqual(pids, sorted(self.server.pids("echo")))
        for node in self.cluster.nodes:
            lost, packets = node.lost_packets()
            self.assertGreater(packets, 100)
            self.assertAlmostEqual(LOSS / 100, lost / packets, delta=0.15)

    def test_silent_node_under_load_is_noticed_in_time(self) -> None:
        capacity = capacity_of(self, 3)
        node = self.cluster.nodes[0]
        with PacedLoad(self.server, "echo", 0.6 * capacity) as load:
            eventually(lambda: load.answered > capacity)
            node.pull_cable()
            pulled = time.monotonic()
            eventually(lambda: self.metric("suspect_workers", node) == 1, self.silence + 1.0)
            noticed = time.monotonic() - pulled
            before = load.answered
            eventually(lambda: load.answered > before + 2 * capacity)
            node.plug_in()
        print(f"60 % of {capacity:.0f}/s: silent, noticed after {noticed:.2f} s, {len(load.failed)} failed")
        self.assertEqual([], load.failed)
        self.assertLess(noticed, self.silence + 0.25)  # what looking takes


class FileFaults(NetworkCase):
    """The files of models, on a node that does not see the server's."""

    __test__ = False
    silence, lost = UNHURRIED

    def start_apart(self, size: int = 1 << 26) -> None:
        """Start a server whose one node has a disk of so many bytes."""
        folder = self.folder_with_cluster() / "server"
        hidden = folder / "tmp"
        self.cluster.nodes.append(
            NetworkNode(1, environment={"TMPDIR": str(hidden)}, hidden=hidden, size=size)
        )
        self.server = self.new_server(folder)
        hidden.mkdir()
        self.cluster.start()
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


class TwoServersFaults(NetworkCase):
    """Two servers on one cluster."""

    __test__ = False
    silence, lost = UNHURRIED

    def test_each_has_its_own_workers(self) -> None:
        self.start(1, processors=2)
        self.serve(1)
        first = self.server
        self.serve_from(first.folder.parent / "second")
        self.serve(1)
        asked = ((first, b"a"), (self.server, b"b"))
        self.assertEqual([b"a", b"b"], [server.predict("echo", body).body for server, body in asked])
        self.assertEqual(2, len({*first.pids("echo"), *self.server.pids("echo")}))
        first.kill()
        self.assertEqual(b"c", self.server.predict("echo", b"c").body)
