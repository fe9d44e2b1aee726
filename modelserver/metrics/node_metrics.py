"""What is known of other machines that workers are on: how many there are, who is silent, bytes, the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import field

from modelserver.language.attributes import frozen
from modelserver.metrics.declarations import COUNTER, GAUGE, Declaration
from modelserver.metrics.exposition import Exposed
from modelserver.metrics.series import Counter, Family, Gauge

_NODE, _VERSION = ("node",), ("model", "version")
_HELP = {
    "modelserver_node_workers": "Workers that are connected from a node.",
    "modelserver_node_suspect_workers": "Workers of a node of which nothing is heard (remote_silence).",
    "modelserver_node_lost_workers_total": "Workers that ended because their node was gone or silent.",
    "modelserver_node_sent_bytes_total": "Bytes that were sent to agents of a node, encrypted.",
    "modelserver_node_received_bytes_total": "Bytes that came from agents of a node, encrypted.",
    "modelserver_node_round_trip_seconds": "Seconds to a node and back, of the slowest of its connections.",
    "modelserver_unplaced_workers": "Workers for which the cluster has no place.",
}


@frozen
class NodeFigures:
    """
    One node, as it is now.

    :param round_trip: seconds, None where it is not known.
    """

    workers: int = 0
    suspect: int = 0
    lost: int = 0
    sent: int = 0
    received: int = 0
    round_trip: float | None = None


@frozen
class Nodes:
    """
    All nodes by their names.

    :param unplaced: workers without a place, by the name and number of a version.
    """

    nodes: Mapping[str, NodeFigures] = field(factory=dict)
    unplaced: Mapping[tuple[str, str], int] = field(factory=dict)

    def exposed(self) -> Iterator[Exposed]:
        """Return every family."""
        workers, suspect = _gauge("node_workers", _NODE), _gauge("node_suspect_workers", _NODE)
        lost, sent = _counter("node_lost_workers"), _counter("node_sent_bytes")
        received = _counter("node_received_bytes")
        round_trip = _gauge("node_round_trip_seconds", _NODE)
        for name, node in sorted(self.nodes.items()):
            workers.update((name,), node.workers)
            suspect.update((name,), node.suspect)
            lost.update((name,), node.lost)
            sent.update((name,), node.sent)
            received.update((name,), node.received)
            if node.round_trip is not None:
                round_trip.update((name,), node.round_trip)
        unplaced = _gauge("unplaced_workers", _VERSION)
        for version, count in self.unplaced.items():
            unplaced.update(version, count)
        families: tuple[Family, ...] = (workers, suspect, lost, sent, received, round_trip, unplaced)
        for family in families:
            yield Exposed(family, _HELP[family.declaration.name])


def _gauge(name: str, dimensions: tuple[str, ...]) -> Gauge:
    return Gauge(Declaration(f"modelserver_{name}", GAUGE, "", dimensions))


def _counter(name: str) -> Counter:
    return Counter(Declaration(f"modelserver_{name}_total", COUNTER, "", _NODE))
