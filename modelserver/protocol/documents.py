"""What is read of the JSON documents in frames: values of a kind, whatever the other side has put there."""

from __future__ import annotations

from collections.abc import Mapping

from modelserver.protocol.frames import FrameError


def whole(document: Mapping[str, object], name: str) -> int | None:
    """Return a whole number of a document; None if there is none."""
    value = document.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def mapping(document: Mapping[str, object], name: str) -> dict[str, object]:
    """
    Return an object in a document.

    :raises FrameError: it is none.
    """
    value = document.get(name)
    if not isinstance(value, dict):
        raise FrameError(f"no object {name}")
    return value


def text(document: Mapping[str, object], name: str) -> str:
    """Return a text in a document; an empty one if there is none."""
    value = document.get(name)
    return value if isinstance(value, str) else ""


def listed(document: Mapping[str, object], name: str) -> list[object]:
    """Return a list in a document; an empty one if there is none."""
    value = document.get(name)
    return value if isinstance(value, list) else []


def mappings(document: Mapping[str, object], name: str) -> list[dict[str, object]]:
    """Return the objects in a list of a document; what else is in it is left out."""
    return [each for each in listed(document, name) if isinstance(each, dict)]
