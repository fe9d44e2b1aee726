"""Numbers of nodes: those of workers that are there, and what those that are gone have left."""

from __future__ import annotations

from attrs import define
from twisted.trial.unittest import SynchronousTestCase

from modelserver.backends.ray.node_accounts import MOST_GONE, NodeAccounts
from modelserver.metrics.node_metrics import NodeFigures


@define(eq=False)
class Placed:
    """A worker that is where the test says."""

    node: str = ""
    figures: NodeFigures | None = None
    waits_for_place: bool = False
    version_key: tuple[str, str] = ("m", "1.0")


class NodeAccountsTests(SynchronousTestCase):
    """What is counted by node."""

    def setUp(self) -> None:
        self.accounts = NodeAccounts()

    def test_workers_of_a_node_are_added_up(self) -> None:
        self.accounts.came(Placed("a", NodeFigures(1, 0, 0, 10, 20, 0.001)))
        self.accounts.came(Placed("a", NodeFigures(1, 1, 0, 30, 40, 0.003)))
        self.accounts.came(Placed("b", NodeFigures(1, 0, 0, 5, 6)))
        nodes = self.accounts.nodes().nodes
        self.assertEqual(
            {"a": NodeFigures(2, 1, 0, 40, 60, 0.003), "b": NodeFigures(1, 0, 0, 5, 6)}, dict(nodes)
        )

    def test_what_was_counted_stays_when_a_worker_goes(self) -> None:
        for is_lost in (False, True):
            worker = Placed("a", NodeFigures(1, 1, 0, 10, 20, 0.001))
            self.accounts.came(worker)
            self.accounts.left(worker, is_lost)
        self.assertEqual({"a": NodeFigures(lost=1, sent=20, received=40)}, dict(self.accounts.nodes().nodes))

    def test_workers_without_a_place_are_counted_by_version(self) -> None:
        for _ in range(2):
            self.accounts.came(Placed(waits_for_place=True))
        self.accounts.came(Placed(waits_for_place=True, version_key=("n", "2")))
        self.assertEqual({("m", "1.0"): 2, ("n", "2"): 1}, dict(self.accounts.nodes().unplaced))

    def test_nodes_that_were_left_long_ago_are_forgotten_and_others_are_not(self) -> None:
        stays = Placed("stays", NodeFigures(1, 0, 0, 7, 8))
        self.accounts.came(stays)
        for name in ("stays", *(f"{number}" for number in range(MOST_GONE))):
            worker = Placed(name, NodeFigures(1, 0, 0, 1, 1))
            self.accounts.came(worker)
            self.accounts.left(worker, False)
        nodes = self.accounts.nodes().nodes
        self.assertEqual(MOST_GONE, len(nodes))
        self.assertNotIn("0", nodes)
        self.assertEqual(NodeFigures(1, 0, 0, 8, 9), nodes["stays"])
