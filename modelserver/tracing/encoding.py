"""
Spans as OTLP has them (``opentelemetry/proto/trace/v1``), written straight into protobuf's wire format.

OpenTelemetry's own encoder takes 0.1 ms for a span, in a process whose event loop waits for the interpreter
meanwhile. Attributes are nearly always the same ones, so that they are encoded once here.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct

from modelserver.protocol.wire_format import varint
from modelserver.system.bounded_cache import Memo
from modelserver.traces import Attributes, AttributeValue
from modelserver.tracing.propagation import SpanContext
from modelserver.tracing.spans import SERVER, FinishedSpan

MOST_REMEMBERED = 4096
LONGEST_REMEMBERED = 64
_SERVER, _INTERNAL, _ERROR = 2, 1, 2
_HAS_REMOTE, _IS_REMOTE = 0x100, 0x200
_names = Struct(">BB16sBB8s").pack
"""Ids of a trace and a span, with their tags (fields 1 and 2)."""
_times = Struct("<BBBQBQ").pack
"""A span's kind (6), start (7) and end (8), which has the last two of fixed width."""
_at = Struct("<BQ").pack
_flags = Struct("<BBI").pack
_double = Struct("<Bd").pack


def length_part(tag: int, data: bytes) -> bytes:
    """Return a field that has a length: a text, bytes or a message."""
    size = len(data)
    return b"%c%b%b" % (tag, bytes((size,)) if size < 0x80 else varint(size), data)


class SpanEncoder:
    """Encodes spans of one service, and the requests that they are sent with."""

    def __init__(self, resource: Attributes, scope: str, version: str) -> None:
        self._known: Memo[tuple[str, str, AttributeValue], bytes] = Memo(_key_value, MOST_REMEMBERED)
        own = length_part(0x0A, scope.encode()) + length_part(0x12, version.encode())
        self._scope = length_part(0x0A, own)
        self._resource = length_part(0x0A, self._attributes(0x0A, resource))

    def request(self, spans: Sequence[FinishedSpan]) -> bytes:
        """Return an ``ExportTraceServiceRequest``."""
        encoded = b"".join([length_part(0x12, self.span(span)) for span in spans])
        return length_part(0x0A, self._resource + length_part(0x12, self._scope + encoded))

    def span(self, span: FinishedSpan) -> bytes:
        """Return a ``Span``."""
        parent = span.parent
        flags = _HAS_REMOTE | _IS_REMOTE if span.is_parent_remote else _HAS_REMOTE
        kind = _SERVER if span.kind == SERVER else _INTERNAL
        pieces = [
            _named(span.context, 0x1A),
            b"" if parent is None else b"\x22\x08" + parent.span_id.to_bytes(8, "big"),
            length_part(0x2A, _text(span.name)),
            _times(0x30, kind, 0x39, span.start, 0x41, span.end),
            self._attributes(0x4A, span.attributes),
        ]
        for name, at, attributes in span.moments:
            moment = _at(0x09, at) + length_part(0x12, _text(name)) + self._attributes(0x1A, attributes)
            pieces.append(length_part(0x5A, moment))
        for link in span.links:
            named = _named(link._replace(state=""), 0x1A)
            pieces.append(length_part(0x6A, named + b"\x35" + _HAS_REMOTE.to_bytes(4, "little")))
        if span.error is None:
            pieces.append(b"\x7a\0")
        else:
            pieces.append(length_part(0x7A, length_part(0x12, _text(span.error)) + bytes((0x18, _ERROR))))
        pieces.append(_flags(0x85, 0x01, flags))
        return b"".join(pieces)

    def _attributes(self, tag: int, attributes: Attributes) -> bytes:
        known = self._known
        found = []
        for name, value in attributes.items():
            key = name, type(value).__name__, value
            is_long = isinstance(value, str) and len(value) > LONGEST_REMEMBERED
            found.append(length_part(tag, _key_value(key) if is_long else known[key]))
        return b"".join(found)


def _named(context: SpanContext, state_tag: int) -> bytes:
    trace_id, span_id, state = context
    ids = _names(0x0A, 16, trace_id.to_bytes(16, "big"), 0x12, 8, span_id.to_bytes(8, "big"))
    return ids + length_part(state_tag, state.encode()) if state else ids


def _text(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _key_value(key: tuple[str, str, AttributeValue]) -> bytes:
    name, _, value = key
    if isinstance(value, str):
        encoded = length_part(0x0A, _text(value))
    elif isinstance(value, bool):
        encoded = bytes((0x10, value))
    elif isinstance(value, int):
        encoded = b"\x18" + varint(value)
    else:
        encoded = _double(0x21, value)
    return length_part(0x0A, _text(name)) + length_part(0x12, encoded)
