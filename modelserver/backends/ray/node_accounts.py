"""What is counted by node: of workers that are there, and of those that were."""

from __future__ import annotations

from collections import Counter
from typing import Protocol

from attrs import evolve, field

from modelserver.language.attributes import define
from modelserver.metrics.node_metrics import NodeFigures, Nodes

MOST_GONE = 100
"""Nodes without a worker whose numbers are kept; those that were left first are forgotten first."""


class Counted(Protocol):
    """A worker on a node, or one that is to have a place."""

    @property
    def version_key(self) -> tuple[str, str]:
        """The name and number of its version."""

    @property
    def node(self) -> str:
        """Its node's name, empty as long as it has none."""

    @property
    def waits_for_place(self) -> bool:
        """Whether the cluster has none for it."""

    @property
    def figures(self) -> NodeFigures | None:
        """Its part of its node's numbers, None before it is connected."""


@define(eq=False)
class NodeAccounts:
    """The workers of a backend, and what those that are gone have left of numbers."""

    _present: set[Counted] = field(factory=set, init=False)
    _gone: dict[str, NodeFigures] = field(factory=dict, init=False)

    def came(self, worker: Counted) -> None:
        """A worker is wanted."""
        self._present.add(worker)

    def left(self, worker: Counted, is_lost: bool) -> None:
        """
        A worker is gone.

        :param is_lost: its node is gone, or silent.
        """
        self._present.discard(worker)
        figures, name = worker.figures, worker.node
        if figures is None or not name:
            return
        rest = NodeFigures(lost=int(is_lost), sent=figures.sent, received=figures.received)
        # The node that was left last is the last one.
        self._gone[name] = _sum(self._gone.pop(name, NodeFigures()), rest)
        if len(self._gone) > MOST_GONE:
            used = {each.node for each in self._present}
            unused = (name for name in self._gone if name not in used)
            self._gone.pop(next(unused, ""), None)

    def nodes(self) -> Nodes:
        """Return the numbers as they are now."""
        nodes = dict(self._gone)
        for worker in self._present:
            figures = worker.figures
            if figures is not None and worker.node:
                nodes[worker.node] = _sum(nodes.get(worker.node, NodeFigures()), figures)
        return Nodes(nodes, Counter(each.version_key for each in self._present if each.waits_for_place))


def _sum(one: NodeFigures, other: NodeFigures) -> NodeFigures:
    ways = [way for way in (one.round_trip, other.round_trip) if way is not None]
    return evolve(
        one,
        workers=one.workers + other.workers,
        suspect=one.suspect + other.suspect,
        lost=one.lost + other.lost,
        sent=one.sent + other.sent,
        received=one.received + other.received,
        round_trip=max(ways, default=None),
    )
