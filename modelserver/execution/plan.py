"""A workflow as it is run: its nodes by number, each with what its calls need."""

from __future__ import annotations

from attrs import field
from twisted.internet.interfaces import IReactorTime

from modelserver.execution.call_timer import CallTimer
from modelserver.language.attributes import frozen
from modelserver.workflows.spec import Condition, Items, Workflow


@frozen(eq=False)
class PlannedNode:
    """
    A node of a plan. Nodes are named by their numbers, in the graph's order.

    :param model: the name of the model that it calls.
    :param version: None: the default one at the time of the call.
    :param retries: how often a call is made again after it has failed.
    :param timer: watches the calls.
    """

    number: int
    name: str
    model: str
    version: str | None
    retries: int
    timer: CallTimer
    parents: tuple[int, ...]
    children: tuple[int, ...]
    conditions: tuple[Condition, ...] = ()
    items: Items = Items.WHOLE


@frozen(eq=False)
class Plan:
    """
    A workflow that can be run.

    :param workflow: its name.
    :param nodes: in the graph's order: each after its parents, the start first.
    :param has_one_leaf: one node alone makes the answer.
    :param sure: the nodes behind the first that every run calls, exactly once.
    :param coming: for each node, how many runs in progress have not come to it yet; the runs count.
    """

    workflow: str
    nodes: tuple[PlannedNode, ...]
    has_one_leaf: bool
    sure: tuple[PlannedNode, ...] = field(init=False)
    coming: list[int] = field(init=False)

    @sure.default
    def _find_sure(self) -> tuple[PlannedNode, ...]:
        reached = {0}
        for node in self.nodes[1:]:
            if not node.conditions and reached.intersection(node.parents):
                reached.add(node.number)
        return tuple(
            node for node in self.nodes[1:] if node.number in reached and node.items is not Items.SPLIT
        )

    @coming.default
    def _count_none(self) -> list[int]:
        return [0] * len(self.nodes)


def make_plan(workflow: Workflow, clock: IReactorTime) -> Plan:
    """Make the plan of a workflow."""
    graph = workflow.spec.graph
    numbers = {name: number for number, name in enumerate(graph.order)}
    nodes = []
    for name in graph.order:
        node, model = workflow.spec.nodes[name], workflow.models[name]
        planned = PlannedNode(
            number=numbers[name],
            name=name,
            model=model.name,
            version=model.version,
            retries=node.settings.retry_attempts,
            timer=CallTimer(clock, node.settings.timeout),
            parents=tuple(numbers[each] for each in graph.parents[name]),
            children=tuple(numbers[each] for each in graph.children[name]),
            conditions=node.conditions,
            items=node.items,
        )
        nodes.append(planned)
    return Plan(workflow.name, tuple(nodes), len(graph.leaves) == 1)
