"""
A server and nodes in networks of their own, through what befalls the cable, the nodes and the server.

Agents are started by a driver of the tests instead of Ray's; everything else is as it is with Ray
(``test_raylets``). It needs root, and is run by hand: ``make cluster-test``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.cluster.network_case import NetworkCase, NodeCluster, enter_network, leave_network
from tests.cluster.network_faults import CableFaults, FileFaults, LossFaults, SilenceFaults, TwoServersFaults
from tests.cluster.paced_load import closed_rate
from tests.cluster.program_cluster import ProgramCluster

pytestmark = pytest.mark.slow
setUpModule, tearDownModule = enter_network, leave_network


class ProgramCase(NetworkCase):
    """Agents that are programs of this machine, each in a network of its own."""

    def new_cluster(self, folder: Path) -> NodeCluster:
        return ProgramCluster(folder)


class CableTests(ProgramCase, CableFaults):
    """A cable is pulled, and loses packets."""

    __test__ = True


class LossTests(ProgramCase, LossFaults):
    """What does not come back."""

    __test__ = True


class SilenceTests(ProgramCase, SilenceFaults):
    """A node of which nothing is heard."""

    __test__ = True


class FileTests(ProgramCase, FileFaults):
    """Files of models on a node."""

    __test__ = True


class TwoServersTests(ProgramCase, TwoServersFaults):
    """Two servers with one node."""

    __test__ = True


class RateTests(ProgramCase):
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
