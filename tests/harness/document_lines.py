"""
How the curl lines of the documents of both peers about management are written down, and how answers compare.

``{management}`` stands for the address of the API, ``{archives}`` for a web server or a bucket with archives.
Values that change from run to run are ``...``, see ``masked``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

_CHANGING = frozenset({"id", "startTime", "pid", "memoryUsage", "runtime"})


@frozen
class Line:
    """
    One call.

    :param words: behind ``curl``.
    :param status: what it has to answer.
    :param body: the JSON, ``masked``; what is not in it is not compared.
    :param differs: why the peer answers something else, where that is meant to be.
    :param ready: wait afterwards until so many workers of this model are ready.
    """

    words: str
    status: int
    body: object
    differs: str = ""
    ready: tuple[str, int] | None = None


def said(text: str) -> Mapping[str, str]:
    """The answer of a call that did something."""
    return {"status": text}


def refused(code: int, kind: str, message: str) -> Mapping[str, object]:
    """The answer of a call that did not."""
    return {"code": code, "type": kind, "message": message}


def masked(body: Any) -> Any:
    """A body without what changes: process ids, times, memory, and the order of versions."""
    if isinstance(body, list):
        return sorted(map(masked, body), key=_version)
    if not isinstance(body, dict):
        return body
    if "openapi" in body:
        return {"openapi": body["openapi"], "info": {"title": body["info"]["title"]}}
    return {name: "..." if name in _CHANGING else masked(value) for name, value in body.items()}


def _version(row: Any) -> str:
    return str(row.get("modelVersion", "")) if isinstance(row, dict) else ""


def missing(expected: Any, found: Any, where: str = "") -> Sequence[str]:
    """What of ``expected`` is not in ``found``; additional keys are no difference."""
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        return [
            text
            for name, value in expected.items()
            for text in (
                missing(value, found[name], f"{where}/{name}")
                if name in found
                else [f"{where}/{name}: absent"]
            )
        ]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = enumerate(zip(expected, found, strict=True))
        return [text for at, (one, other) in pairs for text in missing(one, other, f"{where}/{at}")]
    return [] if expected == found else [f"{where}: {found!r} instead of {expected!r}"]


def worker_row(**more: object) -> dict[str, object]:
    return {"id": "...", "startTime": "...", "status": "READY", "gpu": False, "memoryUsage": "...", **more}


IN_PROGRESS = said("Processing worker updates...")
SQUEEZENET = "{archives}/squeezenet1_1.mar"
MODELS = '"{management}/models'
