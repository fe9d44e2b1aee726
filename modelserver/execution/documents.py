"""JSON between nodes, and of several answers one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from modelserver.execution.payloads import Bytes


class NoJson(ValueError):
    """What a node has answered is no JSON, or not the JSON that it has to be."""


def read_json(data: Bytes) -> object:
    """
    Return the value of a JSON document in UTF-8.

    :raises NoJson: it is none.
    """
    try:
        value: object = json.loads(str(data, "utf-8"))
    except (ValueError, RecursionError) as error:
        raise NoJson(f"its answer is no JSON: {error}") from error
    return value


def json_items(data: Bytes) -> list[bytes]:
    """
    Return the items of a JSON list, each as JSON.

    :raises NoJson: it is no list.
    """
    items = read_json(data)
    if not isinstance(items, list):
        raise NoJson("its answer is no JSON list")
    try:
        return [json.dumps(item).encode() for item in items]
    except RecursionError as error:
        raise NoJson("its answer is nested too deeply") from error


def json_list(items: Sequence[Bytes]) -> bytes:
    """
    Return JSON documents as one list, each as it is written.

    :raises NoJson: one is none.
    """
    for item in items:
        read_json(item)
    return b"[" + b", ".join(items) + b"]"


def json_object(documents: Mapping[str, Bytes]) -> bytes:
    """Return JSON documents as one object, each as it is written."""
    pairs = [b"  %b: %b" % (json.dumps(name).encode(), bytes(each)) for name, each in documents.items()]
    return b"{\n" + b",\n".join(pairs) + b"\n}\n"


def holds(path: Sequence[str], values: Sequence[object], value: object) -> bool:
    """Return whether a JSON value has one of ``values`` behind the keys of ``path``."""
    for key in path:
        if not isinstance(value, dict) or key not in value:
            return False
        value = value[key]
    return any(_is_same(value, wanted) for wanted in values)


def _is_same(value: object, wanted: object) -> bool:
    """Return whether two JSON scalars are equal: ``true`` is no 1 there."""
    return isinstance(value, bool) is isinstance(wanted, bool) and value == wanted
