"""The JSON documents that archives have as manifests, read within limits, and the texts in them."""

from __future__ import annotations

import json
from collections.abc import Mapping

from modelserver.archive.documents import TooDeep, check_depth
from modelserver.archive.names import is_shown
from modelserver.errors import ArchiveInvalid
from modelserver.language.attributes import frozen

LARGEST = 256 * 1024
"""Bytes. Python's JSON reader lets no other thread run: a larger one would hold up the server."""
UNREADABLE = "Failed to parse signature.json."
"""How TorchServe's texts begin, whatever the file's name is."""


@frozen
class ManifestDocument:
    """A manifest twice: as it is for the handler, and with its numbers as text (a version may be 1.10)."""

    raw: Mapping[str, object]
    texts: Mapping[str, object]


def parse_manifest(text: str) -> ManifestDocument:
    """
    Read a manifest.

    :raises ArchiveInvalid: it is no JSON object, or is nested too deeply.
    """
    try:
        raw = json.loads(text, parse_constant=_refuse_constant)
        texts = json.loads(text, parse_float=str, parse_int=str)
        check_depth(raw)
    except RecursionError as why:
        raise ArchiveInvalid(f"{UNREADABLE} {TooDeep()}.") from why
    except ValueError as why:
        raise ArchiveInvalid(f"{UNREADABLE} {why}.") from why
    if not isinstance(raw, dict) or not isinstance(texts, dict):
        raise ArchiveInvalid(f"{UNREADABLE} it is not a JSON object.")
    return ManifestDocument(raw, texts)


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def section_of(document: Mapping[str, object], name: str) -> Mapping[str, object]:
    """
    Return an object inside a manifest; an empty one where it is absent.

    :raises ArchiveInvalid: it is ``null``, or no object.
    """
    found = document.get(name, {})
    if found is None:
        raise ArchiveInvalid("Missing Model entry in manifest file.")
    if not isinstance(found, dict):
        raise ArchiveInvalid(f"{UNREADABLE} {name} must be an object.")
    return found


def text_of(section: Mapping[str, object], name: str) -> str | None:
    """
    Return a string that can be shown and sent; an empty one counts as absent.

    :raises ArchiveInvalid: it is no string, or has characters that cannot be shown.
    """
    value = section.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise ArchiveInvalid(f"{UNREADABLE} {name} must be a string.")
    if not is_shown(value):
        raise ArchiveInvalid(f"{UNREADABLE} {name} holds characters that cannot be printed.")
    return value


def file_of(section: Mapping[str, object], name: str) -> str | None:
    """
    Return the name of a file inside the archive.

    :raises ArchiveInvalid: it is no string, or leads out of the archive.
    """
    value = text_of(section, name)
    if value is not None and leaves(value):
        raise ArchiveInvalid(f"{name} must be a file inside the archive.")
    return value


def leaves(path: str) -> bool:
    """Return whether a path could lead out of its archive."""
    return path.startswith("/") or "\\" in path or path[1:2] == ":" or ".." in path.split("/")
