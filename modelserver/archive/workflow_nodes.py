"""The keys of one node in a workflow's specification: their values, and reading them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import evolve, field

from modelserver.archive.names import RULE, is_name
from modelserver.language.attributes import define
from modelserver.workflows.errors import WorkflowInvalid
from modelserver.workflows.spec import Condition, Items, Node, NodeModel, NodeSettings

if TYPE_CHECKING:
    from modelserver.archive.yaml_documents import Lines

LARGEST = 2**31 - 1
MOST_ATTEMPTS = 100
_SOURCES = ("url", "model", "function")
_ITEMS = {"split": Items.SPLIT, "join": Items.JOIN}


class _Wrong(ValueError):
    """A value that is refused; the text says what is needed."""


@define
class SpecNotes:
    """
    Says of a specification what is wrong, and where.

    :param problems: what is ignored, for the log.
    """

    file: str
    lines: Lines
    problems: list[str] = field(factory=list)

    def refused(self, why: str, *path: str) -> WorkflowInvalid:
        """Return the error for a key."""
        return WorkflowInvalid(f"{'.'.join(path)}: {why} ({self.place(*path)}).")

    def ignore(self, why: str, *path: str) -> None:
        """Note a key that nothing reads."""
        self.problems.append(f"{'.'.join(path)} is ignored: {why} ({self.place(*path)}).")

    def place(self, *path: str) -> str:
        """Return the file and the line of a key."""
        return f"{self.file}, line {self.lines.of(*path)}"


def _whole(least: int, most: int = LARGEST) -> Callable[[object], int]:
    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise _Wrong(f"a whole number from {least} to {most} is needed")
        return value

    return read


def _milliseconds(least: int) -> Callable[[object], float]:
    read = _whole(least)
    return lambda value: read(value) / 1000


# key of the specification -> (field of NodeSettings, how it is read)
_SETTINGS: Mapping[str, tuple[str, Callable[[object], int | float]]] = {
    "min-workers": ("min_workers", _whole(1)),
    "max-workers": ("max_workers", _whole(1)),
    "batch-size": ("batch_size", _whole(1)),
    "max-batch-delay": ("max_batch_delay", _milliseconds(0)),
    "retry-attempts": ("retry_attempts", _whole(0, MOST_ATTEMPTS)),
    "timeout-ms": ("timeout", _milliseconds(1)),
}
_OF_WORKERS = frozenset(("min-workers", "max-workers", "batch-size", "max-batch-delay"))
GLOBALS = frozenset(_SETTINGS)
"""The keys that stand beside the models, and hold for those that follow."""
NODE_KEYS = frozenset((*_SETTINGS, *_SOURCES, "when", "items"))


def with_setting(
    settings: NodeSettings, key: str, value: object, notes: SpecNotes, *path: str
) -> NodeSettings:
    """
    Return settings with another value.

    :raises WorkflowInvalid: the key does not allow it.
    """
    name, read = _SETTINGS[key]
    try:
        changes: dict[str, Any] = {name: read(value)}
    except _Wrong as why:
        raise notes.refused(str(why), *path, key) from why
    return evolve(settings, **changes)


def function_node(name: str, defaults: NodeSettings, function: str | None = None) -> Node:
    """
    Return a node that runs a function: with one worker and no batches, as TorchServe has it.

    :param function: its name where that is not the node's.
    """
    settings = NodeSettings(
        max_batch_delay=0.0, retry_attempts=defaults.retry_attempts, timeout=defaults.timeout
    )
    return Node(name, settings, function=function or name)


def read_node(
    name: str,
    section: Mapping[str, object],
    defaults: NodeSettings,
    parents: tuple[str, ...],
    notes: SpecNotes,
) -> Node:
    """
    Read what ``models`` says of a node.

    :param defaults: the settings that stand before it.
    :raises WorkflowInvalid: a value is not allowed, or not exactly one key says what runs.
    """
    path = ("models", name)
    given = [key for key in _SOURCES if section.get(key) is not None]
    if len(given) != 1:
        found = f"it has {' and '.join(given)}" if given else "it has none"
        raise notes.refused(f"exactly one of url, model and function is needed, {found}", *path)
    for key in section:
        if key not in NODE_KEYS:
            notes.ignore("no key has this name", *path, str(key))
        elif given == ["model"] and key in _OF_WORKERS:
            notes.ignore("the model has its own", *path, key)
    node = _source(name, given[0], section, defaults, notes)
    settings = node.settings
    for key in section:
        if key in _SETTINGS:
            settings = with_setting(settings, key, section[key], notes, *path)
    if settings.min_workers > settings.max_workers:
        notes.ignore(f"max-workers is {settings.max_workers}", *path, "min-workers")
    return evolve(
        node,
        settings=settings,
        items=_items(section, notes, *path),
        conditions=tuple(_conditions(section, parents, notes, *path)),
    )


def _source(
    name: str, key: str, section: Mapping[str, object], defaults: NodeSettings, notes: SpecNotes
) -> Node:
    """Return the node with what runs there, and the settings that it starts from."""
    value, path = section[key], ("models", name, key)
    if not isinstance(value, str) or not value.strip():
        raise notes.refused("a text is needed", *path)
    if key == "function":
        if not value.isidentifier():
            raise notes.refused("the name of a function is needed", *path)
        return function_node(name, defaults, value)
    if key == "url":
        return Node(name, defaults, url=value)
    model, slash, version = value.partition("/")
    if not is_name(model) or (slash and not is_name(version)):
        raise notes.refused(f"NAME or NAME/VERSION is needed, each of {RULE}", *path)
    return Node(name, defaults, model=NodeModel(model, version if slash else None))


def _items(section: Mapping[str, object], notes: SpecNotes, *path: str) -> Items:
    value = section.get("items")
    if value is None:
        return Items.WHOLE
    if not isinstance(value, str) or value not in _ITEMS:
        raise notes.refused(f"{' or '.join(_ITEMS)} is needed", *path, "items")
    return _ITEMS[value]


def _conditions(
    section: Mapping[str, object], parents: tuple[str, ...], notes: SpecNotes, *path: str
) -> Iterable[Condition]:
    """Read ``when``: keys of the parent's answer with dots between, each with the values that it may have."""
    when = section.get("when")
    if when is None:
        return
    if not isinstance(when, Mapping) or not when:
        raise notes.refused("a mapping of keys to values is needed", *path, "when")
    for key, value in when.items():
        values = value if isinstance(value, list) else [value]
        if not isinstance(key, str) or not values or not all(map(_is_scalar, values)):
            raise notes.refused(f"{key}: a value, or a list of values, is needed", *path, "when")
        yield Condition(_condition_path(key, parents, notes, *path), tuple(values))


def _is_scalar(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, str | int)


def _condition_path(key: str, parents: tuple[str, ...], notes: SpecNotes, *path: str) -> tuple[str, ...]:
    """Split a key of ``when``; where there are several parents, the first part is the name of one."""
    first: tuple[str, ...] = ()
    rest = key
    if len(parents) > 1:
        named = [parent for parent in parents if key.startswith(f"{parent}.")]
        if not named:
            raise notes.refused(
                f"{key}: it must begin with one of the parents, {', '.join(parents)}", *path, "when"
            )
        first = (max(named, key=len),)
        rest = key.removeprefix(f"{first[0]}.")
    parts = rest.split(".")
    if not all(parts):
        raise notes.refused(f"{key}: a key is empty", *path, "when")
    return (*first, *parts)
