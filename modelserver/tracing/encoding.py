"""
Spans as OTLP has them (``opentelemetry/proto/trace/v1``), written straight into protobuf's wire format.

OpenTelemetry's own encoder takes 0.1 ms for a span, in a process whose event loop waits for the interpreter
meanwhile. Attributes are nearly always the same ones, so that they are encoded once here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from struct import Struct

from modelserver.protocol.wire_format import varint
from modelserver.system.bounded_cache import Memo
from modelserver.traces import Attributes, AttributeValue, FixedAttributes
from modelserver.tracing.spans import SERVER, FinishedSpan, JoinedAttributes, Moment

MOST_REMEMBERED = 4096
LONGEST_NAME = 128
LONGEST_REMEMBERED = 32
"""Characters of a text whose attribute is remembered; longer ones are mostly ids, and never come again."""
_SERVER, _INTERNAL, _ERROR = 2, 1, 2
HAS_REMOTE, IS_REMOTE = 0x100, 0x200
_names = Struct(">BB16sBBQ").pack
"""Ids of a trace and a span, with their tags (fields 1 and 2)."""
_names_and_parent = Struct(">BB16sBBQBBQ").pack
"""The same, and the id of the span's parent (field 4)."""
_times = Struct("<BBBQBQ").pack
"""A span's kind (6), start (7) and end (8), which has the last two of fixed width."""
_at = Struct("<BQ").pack
_link = Struct(">BBBB16sBBQ").pack
"""A link: its tag, its length with ``_LINKED``, and the ids of the span that it leads to."""
_LINKED = Struct("<BI").pack(0x35, HAS_REMOTE)
_LOCAL, _REMOTE = (Struct("<BBI").pack(0x85, 0x01, flags) for flags in (HAS_REMOTE, HAS_REMOTE | IS_REMOTE))
_NO_STATUS = b"\x7a\0"
LONGEST_ID = 0x7D
"""Bytes of a text up to which its lengths are single bytes."""
_double = Struct("<Bd").pack


def length_part(tag: int, data: bytes) -> bytes:
    """Return a field that has a length: a text, bytes or a message."""
    size = len(data)
    if size < 0x80:
        return b"%c%c%b" % (tag, size, data)
    if size < 0x4000:
        return b"%c%c%c%b" % (tag, size & 0x7F | 0x80, size >> 7, data)
    return b"%c%b%b" % (tag, varint(size), data)


class SpanEncoder:
    """Encodes spans of one service, and the requests that they are sent with."""

    def __init__(self, resource: Attributes, scope: str, version: str) -> None:
        self._known: Memo[tuple[str, type, AttributeValue], bytes] = Memo(_attribute, MOST_REMEMBERED)
        self.names: Memo[str, bytes] = Memo(_name, MOST_REMEMBERED, LONGEST_NAME)
        own = length_part(0x0A, scope.encode()) + length_part(0x12, version.encode())
        self._scope = length_part(0x0A, own)
        self._resource = length_part(0x0A, _attributes(0x0A, resource))

    def request(self, encoded: Sequence[bytes]) -> bytes:
        """Return an ``ExportTraceServiceRequest`` with what ``spans`` has returned."""
        # As with ``length_part``, which would copy all of it three times more.
        size = len(self._scope) + sum(map(len, encoded))
        own = b"\x12" + varint(size)
        whole = b"\x0a" + varint(len(self._resource) + len(own) + size)
        return b"".join((whole, self._resource, own, self._scope, *encoded))

    def spans(self, spans: Sequence[FinishedSpan]) -> bytes:
        """Return spans as a part of a ``ScopeSpans``."""
        return b"".join([length_part(0x12, self.span(span)) for span in spans])

    def span(self, span: FinishedSpan) -> bytes:
        """Return a ``Span``."""
        name, context, parent, start, end, kind, attributes, moments, links, error, is_remote = span
        trace_id, span_id, state = context
        ids = trace_id.to_bytes(16, "big")
        if parent is None:
            head = _names(0x0A, 16, ids, 0x12, 8, span_id)
        else:
            head = _names_and_parent(0x0A, 16, ids, 0x12, 8, span_id, 0x22, 8, parent.span_id)
        times = _times(0x30, _SERVER if kind == SERVER else _INTERNAL, 0x39, start, 0x41, end)
        pieces = [head, self.names[name], times, self.attributes(attributes)]
        if state:
            pieces.append(length_part(0x1A, state.encode()))
        for moment in moments:
            pieces.append(_moment(moment))
        for link in links:
            pieces.append(_link(0x6A, 33, 0x0A, 16, link[0].to_bytes(16, "big"), 0x12, 8, link[1]))
            pieces.append(_LINKED)
        if error is None:
            pieces.append(_NO_STATUS)
        else:
            pieces.append(length_part(0x7A, length_part(0x12, _text(error)) + bytes((0x18, _ERROR))))
        pieces.append(_REMOTE if is_remote else _LOCAL)
        return b"".join(pieces)

    def attributes(self, attributes: Attributes) -> bytes:
        """Return a span's attributes, which are its field 9."""
        if type(attributes) is FixedAttributes:
            return _fixed(attributes)
        if type(attributes) is JoinedAttributes:
            return _fixed(attributes.fixed) + self.attributes(attributes.own)
        known = self._known
        found = []
        for name, value in attributes.items():
            if type(value) is str and len(value) > LONGEST_REMEMBERED:
                text = value.encode("utf-8", "replace")
                if len(text) > LONGEST_ID:
                    found.append(length_part(0x4A, _key_value(name, value)))
                else:
                    found += (_before_text(name, len(text)), text)
            else:
                found.append(known[name, type(value), value])
        return b"".join(found)


def _fixed(attributes: FixedAttributes) -> bytes:
    encoded = attributes.encoded
    if encoded is None:
        encoded = attributes.encoded = _attributes(0x4A, attributes)
    return encoded


def _attributes(tag: int, attributes: Attributes) -> bytes:
    return b"".join([length_part(tag, _key_value(name, value)) for name, value in attributes.items()])


def _attribute(key: tuple[str, type, AttributeValue]) -> bytes:
    """Return an attribute of a span; a key has the value's type, since ``1 == True``."""
    name, _, value = key
    return length_part(0x4A, _key_value(name, value))


@lru_cache(maxsize=MOST_REMEMBERED)
def _before_text(name: str, size: int) -> bytes:
    """Return what stands before a text of so many bytes, ``LONGEST_ID`` at most, which ends an attribute."""
    value = b"\x12%c\x0a%c" % (size + 2, size)
    whole = length_part(0x0A, _text(name)) + value
    return length_part(0x4A, whole + bytes(size))[: -size or None]


def _name(name: str) -> bytes:
    return length_part(0x2A, _text(name))


def _moment(moment: Moment) -> bytes:
    name, at, attributes = moment
    return length_part(0x5A, _at(0x09, at) + length_part(0x12, _text(name)) + _attributes(0x1A, attributes))


def _text(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _key_value(name: str, value: AttributeValue) -> bytes:
    if isinstance(value, str):
        encoded = length_part(0x0A, _text(value))
    elif isinstance(value, bool):
        encoded = bytes((0x10, value))
    elif isinstance(value, int):
        encoded = b"\x18" + varint(value)
    else:
        encoded = _double(0x21, value)
    return length_part(0x0A, _text(name)) + length_part(0x12, encoded)
