"""What a workflow is: its graph, and for each node what runs there and how."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from attrs import field

from modelserver.language.attributes import frozen
from modelserver.workflows.graph import Graph

DEFAULT_VERSION = "1.0"
"""The version of a workflow whose specification says none."""


@frozen
class NodeSettings:
    """
    How a node's model is served and called; the defaults are those of TorchServe's specification.

    :param min_workers: the least workers; TorchServe starts as many as ``max_workers``, and so do we.
    :param max_batch_delay: seconds.
    :param retry_attempts: how often a call is made again after it has failed; 1 means two calls at most.
    :param timeout: seconds for each attempt.
    """

    min_workers: int = 1
    max_workers: int = 1
    batch_size: int = 1
    max_batch_delay: float = 0.05
    retry_attempts: int = 1
    timeout: float = 10.0


@frozen
class NodeModel:
    """
    The model that a node calls.

    :param version: None: the default one at the time of the call.
    """

    name: str
    version: str | None = None


@frozen
class Condition:
    """
    What a node's input must say for the node to run (``when:``).

    :param path: keys of JSON objects, outermost first, in what the parent answered. Where a node has several
        parents, the first one is the name of a parent.
    :param values: JSON scalars, one of which must be there.
    """

    path: tuple[str, ...]
    values: tuple[str | int | float | bool | None, ...]


class Items(Enum):
    """How a node takes the answer of its parent (``items:``)."""

    WHOLE = "whole"
    """As it is: the rule."""
    SPLIT = "split"
    """
    It runs once for each item. After a node that runs once, the parent's answer must be a JSON list, and each
    item is encoded as JSON; after a split one, the items are that one's answers, as they are.
    """
    JOIN = "join"
    """Its one parent is split: it runs once, with the parent's answers in order as a JSON list."""


@frozen
class Node:
    """
    One node of a workflow. Exactly one of ``url``, ``model`` and ``function`` is given.

    :param url: of a model archive, which is registered for this node alone.
    :param model: a model that is registered by itself, and may serve other workflows, too.
    :param function: of the archive's handler file.
    :param conditions: all must hold; empty: the node always runs. A node does not run, either, when none of
        its parents did.
    """

    name: str
    settings: NodeSettings = NodeSettings()
    url: str | None = None
    model: NodeModel | None = None
    function: str | None = None
    conditions: tuple[Condition, ...] = ()
    items: Items = Items.WHOLE


@frozen
class WorkflowSpec:
    """
    The specification of a workflow, checked.

    :param nodes: those of the graph, by name.
    :param defaults: the settings at the top of ``models``, as a description shows them.
    :param version: what the specification says, or None.
    """

    graph: Graph
    nodes: Mapping[str, Node]
    defaults: NodeSettings = NodeSettings()
    version: str | None = None


@frozen(eq=False)
class Workflow:
    """
    A workflow that is served.

    :param url: as given at registration.
    :param models: what each node calls, by the node's name.
    """

    name: str
    url: str
    spec: WorkflowSpec
    models: Mapping[str, NodeModel] = field(factory=dict)

    @property
    def version(self) -> str:
        """Its version, also where nobody said one."""
        return self.spec.version or DEFAULT_VERSION

    def calls(self, model: str, version: str, is_default: bool) -> bool:
        """
        Return whether a node calls this version of a model.

        :param is_default: it is the one that is called where a node names none.
        """
        return any(
            each.name == model and (each.version == version or (each.version is None and is_default))
            for each in self.models.values()
        )
