"""The graph of a workflow: which node follows which, checked, and the order in which they can run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from modelserver.language.attributes import frozen
from modelserver.workflows.errors import GraphInvalid

MOST_NODES = 256
"""Each node that is no reference is a model with workers of its own."""
MOST_EDGES = 4096

_ONE_START = "DAG should have only one start node"
_SELF_LOOP = "Self loop exception"
_TWICE = "loop exception"
_LOOP = "Not a valid DAG"


@frozen
class Graph:
    """
    A directed graph without cycles and with exactly one start; ``make_graph`` checks that.

    :param children: for each node those that follow it, in the order of the specification.
    :param parents: for each node those that it follows, in the order of the specification.
    :param order: every node, each after all its parents.
    :param start: the one node without parents.
    :param leaves: the nodes without children, in the order of ``order``.
    :param written: ``children`` of those nodes alone for which the specification says it, be it nothing.
    """

    children: Mapping[str, tuple[str, ...]]
    parents: Mapping[str, tuple[str, ...]]
    order: tuple[str, ...]
    start: str
    leaves: tuple[str, ...]
    written: Mapping[str, tuple[str, ...]]


def make_graph(
    edges: Mapping[str, Iterable[str]], most_nodes: int = MOST_NODES, most_edges: int = MOST_EDGES
) -> Graph:
    """
    Check edges, and make a graph of them.

    The rules and their texts are those of TorchServe 0.12 (``Dag`` of its archive module).

    :param edges: for each node those that follow it; a node that only follows others need not be a key.
    :raises GraphInvalid: there is not exactly one start, an edge leads back or is there twice, or the graph
        is too large.
    """
    children: dict[str, tuple[str, ...]] = {}
    parents: dict[str, list[str]] = {}
    count = 0
    for node, following in edges.items():
        children[node] = tuple(following)
        count += len(children[node])
        _check_edges(node, children[node])
        parents.setdefault(node, [])
        for child in children[node]:
            parents.setdefault(child, []).append(node)
        if len(parents) > most_nodes or count > most_edges:
            raise GraphInvalid(f"DAG is too large: at most {most_nodes} nodes and {most_edges} edges")
    written = dict(children)
    for node in parents:
        children.setdefault(node, ())
    order = _ordered(children, parents)
    return Graph(
        children=children,
        parents={node: tuple(before) for node, before in parents.items()},
        order=order,
        start=order[0],
        leaves=tuple(node for node in order if not children[node]),
        written=written,
    )


def _check_edges(node: str, following: tuple[str, ...]) -> None:
    if node in following:
        raise GraphInvalid(_SELF_LOOP, f"{node} follows itself", node)
    for child, times in Counter(following).items():
        if times > 1:
            raise GraphInvalid(_TWICE, f"{child} follows {node} {times} times", node)


def _ordered(children: Mapping[str, tuple[str, ...]], parents: Mapping[str, list[str]]) -> tuple[str, ...]:
    """Return the nodes, each after its parents; of several that could come next, the first that was ready."""
    starts = [node for node, before in parents.items() if not before]
    if len(starts) != 1:
        found = f"there are {len(starts)}: {_listed(starts)}" if starts else "there is none"
        raise GraphInvalid(_ONE_START, found, starts[-1] if starts else "")
    open_parents = {node: len(before) for node, before in parents.items()}
    order = starts
    for node in order:  # grows while it is walked
        for child in children[node]:
            open_parents[child] -= 1
            if not open_parents[child]:
                order.append(child)
    if len(order) < len(parents):
        stuck = [node for node, left in open_parents.items() if left]
        raise GraphInvalid(_LOOP, f"a loop holds {_listed(stuck)}", stuck[0])
    return tuple(order)


def _listed(nodes: list[str], most: int = 5) -> str:
    shown = ", ".join(nodes[:most])
    return shown if len(nodes) <= most else f"{shown} and {len(nodes) - most} more"
