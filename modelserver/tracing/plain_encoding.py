"""The spans of plain requests in OTLP, written at once: all but times, ids and attributes is known before."""

from __future__ import annotations

from struct import Struct

from modelserver.protocol.wire_format import varint
from modelserver.tracing.encoding import HAS_REMOTE, IS_REMOTE, SpanEncoder, length_part
from modelserver.tracing.plain_request import LoneCall, PlainRequest

_ids = Struct(">QQ").pack
_times = Struct("<7Q").pack
_fixed = Struct("<I").pack
# The fields of a span, as they stand one behind the other: tags, with lengths and values that never change.
_TRACE, _SPAN, _PARENT = b"\x0a\x10", b"\x12\x08", b"\x22\x08"
_INTERNAL, _SERVER = b"\x30\x01\x39", b"\x30\x02\x39"
"""The kind, and the tag of the start, which follows."""
_UNTIL = b"\x41"
_LINK = b"\x6a\x21\x0a\x10"
"""A link, up to the id of its trace."""
_LINKED = b"\x35" + _fixed(HAS_REMOTE)
_LOCAL = b"\x7a\0\x85\x01" + _fixed(HAS_REMOTE)
"""What a span ends with: a status that says nothing, and that its parent is of this process."""
_REMOTE = b"\x7a\0\x85\x01" + _fixed(HAS_REMOTE | IS_REMOTE)

_IDS = len(_TRACE) + 16 + len(_SPAN) + 8
_ABOVE = len(_PARENT) + 8
_REST = len(_INTERNAL) + 8 + len(_UNTIL) + 8 + len(_LOCAL)
_LINKS = len(_LINK) + 16 + len(_SPAN) + 8 + len(_LINKED)


def _head(size: int) -> bytes:
    """Return how a span of so many bytes begins, up to the id of its trace."""
    if 0x80 <= size < 0x4000:  # as the request's own always is
        return b"\x12%c%c\x0a\x10" % (size & 0x7F | 0x80, size >> 7)
    return b"\x12%b\x0a\x10" % varint(size)


def _part(name: str) -> tuple[bytes, bytes]:
    """Return how a part without attributes begins, and what stands before its start."""
    named = length_part(0x2A, name.encode())
    return _head(_IDS + _ABOVE + len(named) + _REST), named + _INTERNAL


_QUEUE, _QUEUED = _part("queue")
_DECODE, _DECODED = _part("decode")
_HANDLER, _HANDLED = _part("handler")
_RESPOND, _RESPONDED = _part("respond")
_BATCHED = length_part(0x2A, b"batch") + _INTERNAL
_BATCH_SIZE = _IDS + _ABOVE + len(_BATCHED) - len(_INTERNAL) + _REST + _LINKS


class PlainEncoder:
    """Encodes plain requests, to the same bytes as a ``SpanEncoder`` does their spans."""

    def __init__(self, encoder: SpanEncoder) -> None:
        self._attributes, self._names = encoder.attributes, encoder.names

    def spans(self, request: PlainRequest) -> bytes:
        """Return the spans of a request as a part of a ``ScopeSpans``, its own at the end."""
        _, (trace_id, span_id, _), _, epoch, _, ended, _, call, drawn = request
        trace, ids = trace_id.to_bytes(16, "big"), _ids(span_id, call.handler[1])
        others, times = drawn.to_bytes(32, "big"), _times_of(epoch, call, ended)
        own, batch, answered, end = ids[:8], others[8:16], times[40:48], times[48:]
        told = self._attributes(call.attributes)
        # fmt: off
        pieces = (
            _QUEUE, trace, _SPAN, others[:8], _PARENT, own,
            _QUEUED, times[:8], _UNTIL, times[8:16], _LOCAL,

            _head(_BATCH_SIZE + len(told)), trace, _SPAN, batch, _PARENT, own,
            _BATCHED, times[8:16], _UNTIL, answered, told, _LINK, trace, _SPAN, own, _LINKED, _LOCAL,

            _DECODE, trace, _SPAN, others[16:24], _PARENT, batch,
            _DECODED, times[16:24], _UNTIL, times[24:32], _LOCAL,

            _HANDLER, trace, _SPAN, ids[8:], _PARENT, batch,
            _HANDLED, times[24:32], _UNTIL, times[32:40], _LOCAL,

            _RESPOND, trace, _SPAN, others[24:], _PARENT, own,
            _RESPONDED, answered, _UNTIL, end, _LOCAL,

            self._whole(request, trace, own, end),
        )
        # fmt: on
        return b"".join(pieces)

    def _whole(self, request: PlainRequest, trace: bytes, own: bytes, end: bytes) -> bytes:
        """Return the span of the request itself; its ids and its end are encoded already."""
        name, _, parent, epoch, started, _, (fixed, others), _, _ = request
        start = int((epoch + started) * 1e9).to_bytes(8, "little")
        named, told = self._names[name], self._attributes(fixed) + self._attributes(others)
        above, flags = b"", _LOCAL
        if parent is not None:
            above, flags = _PARENT + parent[1].to_bytes(8, "big"), _REMOTE
        head = _head(_IDS + len(above) + len(named) + _REST + len(told))
        return b"".join((head, trace, _SPAN, own, above, named, _SERVER, start, _UNTIL, end, told, flags))


def _times_of(epoch: float, call: LoneCall, ended: float) -> bytes:
    """Return the nanoseconds of a call's times and of the end, as spans have them."""
    since, assigned, begun, called, returned, answered, _, _ = call
    return _times(
        int((epoch + since) * 1e9),
        int((epoch + assigned) * 1e9),
        int((epoch + begun) * 1e9),
        int((epoch + called) * 1e9),
        int((epoch + returned) * 1e9),
        int((epoch + answered) * 1e9),
        int((epoch + ended) * 1e9),
    )
