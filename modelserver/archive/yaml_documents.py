"""
YAML documents of plain values, read within limits: depth, and nodes behind aliases.

It brings PyYAML, 15 ms of a start: who reads YAML imports it then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import yaml

from modelserver.archive.documents import DEEPEST, MOST_NODES, TooDeep
from modelserver.language.attributes import frozen

DEEPEST_LINES = 3
"""How deep ``Lines`` knows its keys."""
LONGEST_NUMBER = 400
"""How many characters a number may have: Python's own limit comes too late for ``1:1:1...``."""


class TooMany(ValueError):
    """The document has too many values once its aliases are written out."""

    def __str__(self) -> str:
        return "it has too many values once its aliases are written out"


@frozen
class Lines:
    """
    Where the keys of a YAML document stand, down to ``DEEPEST_LINES``.

    :param by_path: a line, counted from 1, by the keys that lead there as they are written; an item of a list
        has its index.
    """

    by_path: Mapping[tuple[str, ...], int]

    def of(self, *path: str) -> int:
        """Return the line of a key, or of the nearest key around it."""
        return next((self.by_path[part] for part in _prefixes(path) if part in self.by_path), 1)


def _prefixes(path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    return (path[:length] for length in range(len(path), 0, -1))


def read_yaml(text: str, most_nodes: int = MOST_NODES) -> object:
    """
    Read a YAML document of plain values.

    :raises ValueError: it is not YAML, builds objects, or is too deep or too large once its aliases are
        written out.
    """
    document, _ = _read(text, most_nodes)
    return document


def read_yaml_with_lines(text: str, most_nodes: int = MOST_NODES) -> tuple[object, Lines]:
    """
    Read a YAML document of plain values, and where its keys stand.

    :raises ValueError: as ``read_yaml``.
    """
    document, node = _read(text, most_nodes)
    found: dict[tuple[str, ...], int] = {}
    _find_lines(node, (), found)
    return document, Lines(found)


def _find_lines(node: yaml.Node | None, path: tuple[str, ...], found: dict[tuple[str, ...], int]) -> None:
    if len(path) == DEEPEST_LINES:
        return
    pairs: list[tuple[yaml.Node, str, yaml.Node]] = []
    if isinstance(node, yaml.MappingNode):
        pairs = [(key, str(key.value), value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        pairs = [(value, str(index), value) for index, value in enumerate(node.value)]
    for at, name, value in pairs:
        found[(*path, name)] = at.start_mark.line + 1
        _find_lines(value, (*path, name), found)


def _read(text: str, most_nodes: int) -> tuple[object, yaml.Node | None]:
    try:
        loader = _BoundedLoader(text, most_nodes)
        try:
            node = loader.get_single_node()
            if node is None:
                return None, None
            _count(node, most_nodes, {}, 0)
            return _construct(loader, node), node
        finally:
            loader.dispose()
    except yaml.YAMLError as why:
        raise ValueError(_first_problem(why)) from why
    except RecursionError as why:
        raise TooDeep from why


class _BoundedLoader(yaml.SafeLoader):
    """SafeLoader, which alone would spend a quarter of a minute on a mebibyte of short lines."""

    def __init__(self, text: str, most_nodes: int) -> None:
        super().__init__(text)
        self._left = most_nodes

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._left -= 1
        if self._left < 0:
            raise TooMany
        return super().compose_node(parent, index)


def _construct(loader: yaml.SafeLoader, node: yaml.Node) -> object:
    try:
        document: object = loader.construct_document(node)
    except (TypeError, LookupError, AttributeError) as why:
        # PyYAML's constructors do not check what an explicit tag such as ``!!bool maybe`` gives them.
        raise ValueError("a value does not fit its tag") from why
    return document


def _count(node: yaml.Node, most: int, known: dict[int, int], depth: int) -> int:
    """Count the nodes behind ``node``; 0 in ``known`` marks one that is still being counted."""
    if id(node) in known:
        if not known[id(node)]:
            raise ValueError("it contains itself")
        return known[id(node)]
    if depth > DEEPEST:
        raise TooDeep
    known[id(node)] = 0
    total = 1
    for child in _parts(node):
        total += _count(child, most, known, depth + 1)
        if total > most:
            raise TooMany
    known[id(node)] = total
    return total


def _parts(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    if isinstance(node, yaml.SequenceNode):
        return list(node.value)
    if node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float") and len(node.value) > LONGEST_NUMBER:
        raise ValueError("it has a number that is too long")
    return []


def _first_problem(why: yaml.YAMLError) -> str:
    """Describe in one line what is wrong and where."""
    if isinstance(why, yaml.MarkedYAMLError) and why.problem_mark is not None:
        return f"{why.problem} in line {why.problem_mark.line + 1}"
    return str(why).splitlines()[0] if str(why) else "it is not YAML"
