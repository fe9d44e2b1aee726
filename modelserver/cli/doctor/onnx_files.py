"""Which files beside an ONNX file have its weights: exporters write them, and archives leave them behind."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path

from modelserver.protocol.wire_format import LENGTH, map_entry, spans, text

_ENTRY, _TENSOR, _GRAPH, _NODE, _ATTRIBUTE, _FUNCTION, _MODEL = range(7)
_PARTS: Mapping[int, Mapping[int, int]] = {
    _MODEL: {7: _GRAPH, 25: _FUNCTION},
    _FUNCTION: {7: _NODE},
    _GRAPH: {1: _NODE, 5: _TENSOR},
    _NODE: {5: _ATTRIBUTE},
    _ATTRIBUTE: {5: _TENSOR, 6: _GRAPH, 10: _TENSOR, 11: _GRAPH},
    _TENSOR: {13: _ENTRY},
}
"""The fields of onnx.proto that lead to external data, for each kind of message."""
_DEEPEST = 64
"""Messages within messages at most: a graph within a graph is three, and nobody nests twenty."""


def external_files(path: Path) -> set[str]:
    """
    Return the names by which an ONNX file refers to others that hold its tensors, relative to its folder.

    The file is walked, not read: the bytes of tensors in it are passed over.

    :raises OSError: the file cannot be read.
    :raises ValueError: it is no ONNX file, or is empty.
    """
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        memoryview(mapped) as data,
    ):
        return set(_locations(data))


def _locations(data: memoryview) -> Iterator[str]:
    # Each message within another is walked when it is met, so that a file of many is no long list.
    walks = [_parts(data, _MODEL, 0, len(data))]
    while walks:
        part = next(walks[-1], None)
        if part is None:
            walks.pop()
            continue
        kind, start, stop = part
        if kind == _ENTRY:
            name, start, stop = map_entry(data, start, stop)
            if name == "location":
                yield text(data, start, stop)
        elif len(walks) > _DEEPEST:
            raise ValueError("Its graphs are nested too deeply.")
        else:
            walks.append(_parts(data, kind, start, stop))


def _parts(data: memoryview, kind: int, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield the messages in one that lead to external data: of what kind, and where."""
    parts = _PARTS[kind]
    for tag, start, stop in spans(data, at, end):
        part = parts.get(tag >> 3) if tag & 7 == LENGTH else None
        if part is not None:
            yield part, start, stop
