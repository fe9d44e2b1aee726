"""Values of ``model-config.yaml`` as JSON carries them: YAML has dates, bytes, sets and other keys, too."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from datetime import date, datetime

_MARK = "\0"
"""What the one key of an object begins with that stands for a value of another type."""

_FROM_JSON: Mapping[str, Callable[[object], object]] = {
    "\0bytes": lambda text: b64decode(str(text)),
    "\0date": lambda text: date.fromisoformat(str(text)),
    "\0datetime": lambda text: datetime.fromisoformat(str(text)),
    "\0mapping": lambda pairs: dict(_pairs(pairs)),
    "\0set": lambda members: set(_members(members)),
    "\0tuple": lambda members: tuple(_members(members)),
}


def to_json(value: object) -> object:
    """
    Return what stands for a value of a YAML document in JSON.

    :raises TypeError: the value is of a type that no plain YAML document has.
    """
    match value:
        case None | str() | bool() | int() | float():
            return value
        case list():
            return [to_json(member) for member in value]
        case dict() if all(isinstance(key, str) and not key.startswith(_MARK) for key in value):
            return {key: to_json(member) for key, member in value.items()}
        case dict():
            return {"\0mapping": [[to_json(key), to_json(member)] for key, member in value.items()]}
        case bytes():
            return {"\0bytes": b64encode(value).decode()}
        case datetime():  # which is a date, too
            return {"\0datetime": value.isoformat()}
        case date():
            return {"\0date": value.isoformat()}
        case set():
            return {"\0set": [to_json(member) for member in value]}
        case tuple():
            return {"\0tuple": [to_json(member) for member in value]}
    raise TypeError(f"{type(value).__name__} is no type of a YAML document")


def from_json(value: object) -> object:
    """Return the value for which ``to_json`` has put another."""
    if isinstance(value, list):
        return _members(value)
    if not isinstance(value, dict):
        return value
    for key, held in value.items():
        if key.startswith(_MARK):
            return _FROM_JSON[key](held)
    return {key: from_json(held) for key, held in value.items()}


def _members(values: object) -> list[object]:
    assert isinstance(values, list), "to_json wrote a list"
    return [from_json(value) for value in values]


def _pairs(values: object) -> list[tuple[object, object]]:
    assert isinstance(values, list), "to_json wrote a list of pairs"
    return [(from_json(key), from_json(value)) for key, value in values]
