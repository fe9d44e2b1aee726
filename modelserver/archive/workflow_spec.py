"""Reads the specification of a workflow: a YAML file with ``models`` and ``dag``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import evolve

from modelserver.archive.documents import MOST_NODES as MOST_VALUES
from modelserver.archive.names import RULE, is_name
from modelserver.archive.workflow_nodes import GLOBALS, SpecNotes, function_node, read_node, with_setting
from modelserver.language.attributes import frozen
from modelserver.workflows.errors import GraphInvalid, WorkflowInvalid
from modelserver.workflows.graph import MOST_EDGES, MOST_NODES, Graph, make_graph
from modelserver.workflows.spec import Items, Node, NodeSettings, WorkflowSpec

_TOP_KEYS = ("models", "dag", "version")


@frozen
class SpecLimits:
    """
    How large a specification may be.

    :param values: of the YAML document, once its aliases are written out.
    """

    values: int = MOST_VALUES
    nodes: int = MOST_NODES
    edges: int = MOST_EDGES


DEFAULT_SPEC_LIMITS = SpecLimits()


@frozen
class _Listed:
    """What ``models`` says of one name, with the settings that stand before it."""

    section: Mapping[str, object]
    defaults: NodeSettings


def read_workflow_spec(
    text: str, file: str, limits: SpecLimits = DEFAULT_SPEC_LIMITS
) -> tuple[WorkflowSpec, tuple[str, ...]]:
    """
    Read a specification.

    The keys are those of TorchServe, and ``version``, ``model``, ``function``, ``when`` and ``items``:
    https://github.com/pytorch/serve/blob/master/docs/workflows.md

    :param file: the file's name, for texts.
    :return: the specification, and what in it is ignored, for the log.
    :raises WorkflowInvalid: it breaks a rule; the text has the key and the line.
    :raises GraphInvalid: ``dag`` is no graph that can be run.
    """
    from modelserver.archive.yaml_documents import read_yaml_with_lines  # in the thread, not at the start

    try:
        document, lines = read_yaml_with_lines(text, limits.values)
    except ValueError as why:
        raise WorkflowInvalid(f"Failed to parse yaml. {file}: {why}.") from why
    notes = SpecNotes(file, lines)
    if not isinstance(document, Mapping):
        raise WorkflowInvalid(f"{file} is not a mapping with the keys models and dag.")
    for key in document:
        if key not in _TOP_KEYS:
            notes.ignore("no key has this name", str(key))
    listed, defaults = _read_models(_section(document, "models", notes), notes)
    graph = _read_graph(_section(document, "dag", notes), notes, limits)
    nodes = {name: _node(name, listed, defaults, graph, notes) for name in graph.order}
    for name in listed:
        if name not in nodes:
            notes.ignore("it is not in the dag", "models", name)
    _check_nodes(nodes, graph, notes)
    spec = WorkflowSpec(graph, nodes, defaults, _version(document, notes))
    return spec, tuple(notes.problems)


def _section(document: Mapping[str, object], key: str, notes: SpecNotes) -> Mapping[str, object]:
    section = document.get(key)
    if key not in document:
        raise WorkflowInvalid(f"{notes.file} has no key {key}.")
    if not isinstance(section, Mapping):
        raise notes.refused("a mapping is needed", key)
    return section


def _read_models(section: Mapping[str, object], notes: SpecNotes) -> tuple[dict[str, _Listed], NodeSettings]:
    """Read ``models`` from top to bottom: a setting holds for the models below it."""
    settings = NodeSettings()
    listed: dict[str, _Listed] = {}
    for name, value in section.items():
        if name in GLOBALS:
            settings = with_setting(settings, name, value, notes, "models")
            continue
        _check_name(name, notes, "models")
        if not isinstance(value, Mapping):
            raise notes.refused("a mapping with url, model or function is needed", "models", name)
        listed[name] = _Listed(value, settings)
    return listed, settings


def _check_name(name: object, notes: SpecNotes, *path: str) -> None:
    if not isinstance(name, str) or not is_name(name):
        hint = f"a name of {RULE} is needed, in quotes where it is a number or a word like yes"
        raise notes.refused(hint, *path, str(name))


def _read_graph(section: Mapping[str, object], notes: SpecNotes, limits: SpecLimits) -> Graph:
    edges: dict[str, list[str]] = {}
    for name, following in section.items():
        _check_name(name, notes, "dag")
        if not isinstance(following, list):
            raise notes.refused("a list of nodes is needed", "dag", name)
        edges[name] = []
        for index, child in enumerate(following):
            if child == "":
                continue
            if not isinstance(child, str) or not is_name(child):
                hint = f"{child!r} is no name of {RULE}"
                raise notes.refused(hint, "dag", name, str(index))
            edges[name].append(child)
    try:
        return make_graph(edges, limits.nodes, limits.edges)
    except GraphInvalid as error:
        place = notes.place("dag", error.node) if error.node else notes.place("dag")
        where = f"{error.where}; {place}" if error.where else place
        raise evolve(error, where=where) from None


def _node(
    name: str, listed: Mapping[str, _Listed], defaults: NodeSettings, graph: Graph, notes: SpecNotes
) -> Node:
    found = listed.get(name)
    if found is not None:
        return read_node(name, found.section, found.defaults, graph.parents[name], notes)
    if not name.isidentifier():
        raise notes.refused("it is not under models, and no function can have this name", "dag", name)
    return function_node(name, defaults)


def _check_nodes(nodes: Mapping[str, Node], graph: Graph, notes: SpecNotes) -> None:
    """Check what nodes say of their parents' answers: the start has no parent, items have exactly one."""
    for node in nodes.values():
        for key, why in _contradictions(node, nodes, graph):
            raise notes.refused(why, "models", node.name, key)


def _contradictions(node: Node, nodes: Mapping[str, Node], graph: Graph) -> Iterator[tuple[str, str]]:
    parents = [nodes[parent] for parent in graph.parents[node.name]]
    split = [parent.name for parent in parents if parent.items is Items.SPLIT]
    if node.conditions and not parents:
        yield "when", "the start node has no parent whose answer could be looked at"
    if node.items is not Items.WHOLE and len(parents) != 1:
        yield "items", f"exactly one parent is needed, there are {len(parents)}"
    if node.items is not Items.WHOLE and node.conditions:
        yield "when", "it cannot stand beside items"
    if node.items is Items.JOIN and not split:
        yield "items", f"join needs a parent with items: split, which {parents[0].name} is not"
    if node.items is Items.WHOLE and split:
        yield "items", f"split or join is needed after {split[0]}, which answers for each item"


def _version(document: Mapping[str, object], notes: SpecNotes) -> str | None:
    value = document.get("version")
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not is_name(value):
        raise notes.refused(f"a text of {RULE} is needed: put it in quotes", "version")
    return value
