"""The metrics of other machines that workers are on."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from modelserver.metrics.exposition import pieces
from modelserver.metrics.node_metrics import NodeFigures, Nodes


class NodeMetricsTests(SynchronousTestCase):
    """What a scrape shows."""

    def lines(self, nodes: Nodes) -> list[str]:
        text = b"".join(pieces(list(nodes.exposed()), ())).decode()
        return [line for line in text.splitlines() if not line.startswith("#")]

    def test_nothing_is_said_without_nodes(self) -> None:
        self.assertEqual([], self.lines(Nodes()))

    def test_each_node_has_its_numbers(self) -> None:
        known = NodeFigures(workers=2, suspect=1, lost=3, sent=400, received=500, round_trip=0.002)
        self.assertEqual(
            [
                'modelserver_node_workers{node="a/1",} 2.0',
                'modelserver_node_workers{node="b/2",} 0.0',
                'modelserver_node_suspect_workers{node="a/1",} 1.0',
                'modelserver_node_suspect_workers{node="b/2",} 0.0',
                'modelserver_node_lost_workers_total{node="a/1",} 3.0',
                'modelserver_node_lost_workers_total{node="b/2",} 0.0',
                'modelserver_node_sent_bytes_total{node="a/1",} 400.0',
                'modelserver_node_sent_bytes_total{node="b/2",} 0.0',
                'modelserver_node_received_bytes_total{node="a/1",} 500.0',
                'modelserver_node_received_bytes_total{node="b/2",} 0.0',
                'modelserver_node_round_trip_seconds{node="a/1",} 0.002',
                'modelserver_unplaced_workers{model="m",version="1.0",} 4.0',
            ],
            self.lines(Nodes({"b/2": NodeFigures(), "a/1": known}, {("m", "1.0"): 4})),
        )
