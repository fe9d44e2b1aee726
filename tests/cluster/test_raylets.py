"""
The same with Ray itself: ``ray start --head`` and a raylet in each node's network, joined by cables.

It needs root and Ray, and is run by hand: ``make cluster-test``.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from modelserver.backends.ray.token_check import MODE, own_token
from tests.cluster.network_case import NetworkCase, NodeCluster, enter_network, leave_network
from tests.cluster.network_faults import CableFaults, FileFaults, LossFaults, SilenceFaults, TwoServersFaults
from tests.cluster.paced_load import PacedLoad
from tests.cluster.raylets import RayHead, RayletCluster
from tests.harness.server_process import eventually

LIMIT = 300
"""Seconds for a test."""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(LIMIT)]
_started: list[RayHead] = []


def setUpModule() -> None:
    """Start the head, in a network of one's own."""
    enter_network()
    try:
        _started.append(RayHead())
    except BaseException:
        leave_network()
        raise


def tearDownModule() -> None:
    """End it."""
    while _started:
        _started.pop().end()
    leave_network()


class RayletCase(NetworkCase):
    """Nodes with raylets."""

    # Each of three processes that import Ray before a worker starts takes a second alone on a machine, and
    # ten beside others: how long all of it takes is not what these tests are about.
    patience = LIMIT
    cluster: RayletCluster

    def new_cluster(self, folder: Path) -> NodeCluster:
        return RayletCluster(_started[0])


class CableTests(RayletCase, CableFaults):
    """A cable is pulled, and loses packets."""

    __test__ = True


class LossTests(RayletCase, LossFaults):
    """What does not come back."""

    __test__ = True


class SilenceTests(RayletCase, SilenceFaults):
    """A node of which nothing is heard."""

    __test__ = True


class FileTests(RayletCase, FileFaults):
    """Files of models on a node."""

    __test__ = True


class TwoServersTests(RayletCase, TwoServersFaults):
    """Two servers on one cluster."""

    __test__ = True


class KillTests(RayletCase):
    """One process of a node is killed under load, while the other node serves."""

    silence, lost = 1.0, 4.0

    def kill_under_load(self, find: Callable[[int], int]) -> None:
        """Kill what ``find`` finds from a worker's process, and wait until two workers are ready again."""
        with PacedLoad(self.server, "echo", 60) as load:
            eventually(lambda: load.answered > 60)
            (pid,) = self.on(self.cluster.nodes[0])
            os.kill(find(pid), signal.SIGKILL)
            eventually(lambda: pid not in self.server.pids("echo"), 3.0)
            eventually(lambda: self.server.ready("echo") == 2)
            before = load.answered
            eventually(lambda: load.answered > before + 120)
        self.assertEqual([], load.failed)

    def test_killed_worker_agent_actor_and_raylet_cost_no_request(self) -> None:
        self.start(2, processors=2)
        self.serve(2)

        def above(place: int) -> Callable[[int], int]:
            return lambda pid: psutil.Process(pid).parents()[place].pid

        self.kill_under_load(lambda pid: pid)
        for place, name in ((0, "agent"), (1, "actor")):
            with self.subTest(name):
                self.kill_under_load(above(place))
        self.kill_under_load(lambda pid: self.cluster.raylet(self.cluster.nodes[0]))


class ReplacementTests(RayletCase):
    """A silent node that has room, for all that Ray knows."""

    silence, lost = 1.0, 4.0
    soon = 30.0
    """Seconds, half of what Ray takes to see that a node is gone."""

    def test_its_worker_is_started_on_another_one(self) -> None:
        self.start(3, processors=3)
        self.serve(2)
        node = next(node for node in self.cluster.nodes if self.on(node))
        node.pull_cable()
        eventually(lambda: self.metric("lost_workers_total", node) == 1, self.lost + 1.0)
        eventually(lambda: self.server.ready("echo") == 2, self.soon)
        self.assertEqual([], self.on(node))


class TokenTests(RayletCase):
    """A cluster that asks nobody for a token."""

    def new_cluster(self, folder: Path) -> NodeCluster:
        head = RayHead({MODE: "disabled"}, 6380)
        self.addCleanup(head.end)
        return RayletCluster(head)

    def test_it_is_not_joined(self) -> None:
        folder = self.folder_with_cluster()
        self.server = self.new_server(folder / "server")
        self.server.environment = {**self.server.environment, **own_token("0" * 64)}
        self.server.start()
        self.addCleanup(self.server.end)
        answer = self.server.register("echo.mar", placement="ray")
        self.assertEqual(500, answer.status, answer.text)
        self.assertIn("it lets in who has no token", answer.text)
