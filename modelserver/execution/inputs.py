"""What a node gets of what its parents have answered, and whether it is called at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from modelserver.execution.documents import holds
from modelserver.execution.node_run import NodeRun
from modelserver.execution.payloads import Payload, PayloadStore
from modelserver.execution.plan import PlannedNode
from modelserver.jobs import Inputs, inputs_of
from modelserver.protocol.frames import FIELDS, PASSES, RAW, REPLIES
from modelserver.workflows.spec import Condition, Items

SPLIT = Items.SPLIT
"""Here because a look into an Enum costs as much as a call."""


def is_node_due(node: PlannedNode, parents: Sequence[NodeRun]) -> bool:
    """
    Return whether a node is to be called.

    :param parents: those that were not passed over.
    """
    if not parents:
        return False
    if not node.conditions:
        return True
    by_name = {parent.node.name: parent for parent in parents} if len(node.parents) > 1 else {}
    return all(_holds(condition, parents, by_name) for condition in node.conditions)


def _holds(condition: Condition, parents: Sequence[NodeRun], by_name: Mapping[str, NodeRun]) -> bool:
    if not by_name:
        return holds(condition.path, condition.values, parents[0].value())
    parent = by_name.get(condition.path[0])
    return parent is not None and holds(condition.path[1:], condition.values, parent.value())


def inputs_of_node(
    node: PlannedNode, parents: Sequence[NodeRun], request: Inputs, store: PayloadStore
) -> tuple[Sequence[Payload], Inputs]:
    """
    Return what each call of a node gets; the caller holds these payloads, and drops them.

    A node with one parent gets bytes, one with several a field for each, as in TorchServe.

    :param parents: those that were not passed over, in the order of the specification.
    :param request: that of the client, whose headers every node gets.
    :raises NodeFailed: the answer of a parent is not the JSON that it has to be.
    """
    header_block, extra, _, flags = request
    if flags & PASSES and not node.children:
        flags = REPLIES
    else:
        flags, extra = 0, b""
    plain = inputs_of((header_block, extra, b"", flags | RAW))
    if node.items is SPLIT:
        return parents[0].items(store), plain
    if len(node.parents) == 1:
        return [parents[0].whole(store)], plain
    wholes: list[tuple[str, Payload]] = []
    try:
        for parent in parents:
            wholes.append((parent.node.name, parent.whole(store)))
        payload, table = store.joined(wholes, extra)
    finally:
        for _, whole in wholes:
            whole.drop()
    return [payload], inputs_of((header_block, table, b"", flags | FIELDS))
