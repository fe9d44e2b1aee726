"""The spans of plain requests in OTLP, written at once: all but times, ids and attributes is known before."""

from __future__ import annotations

from functools import lru_cache
from struct import Struct

from modelserver.protocol.wire_format import varint
from modelserver.tracing.encoding import HAS_REMOTE, IS_REMOTE, SpanEncoder, length_part
from modelserver.tracing.plain_request import UNNAMED, PlainRequest

_times = Struct("<8Q").pack
_cut_times, _cut_ids = Struct("8s" * 8).unpack, Struct("8s" * UNNAMED).unpack
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


@lru_cache(maxsize=1024)
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
_LINKED_LOCAL = _LINKED + _LOCAL
# What ends one part, and begins the next.
_LOCAL_HANDLER, _LOCAL_RESPOND = _LOCAL + _HANDLER, _LOCAL + _RESPOND
_BATCH_SIZE = _IDS + _ABOVE + len(_BATCHED) - len(_INTERNAL) + _REST + _LINKS


class PlainEncoder:
    """Encodes plain requests, to the same bytes as a ``SpanEncoder`` does their spans."""

    def __init__(self, encoder: SpanEncoder) -> None:
        self._attributes, self._names = encoder.attributes, encoder.names

    def spans(self, request: PlainRequest) -> bytes:
        """Return the spans of a request as a part of a ``ScopeSpans``, its own at the end."""
        name, (trace_id, span_id, _), parent, _, _, _, (fixed, answer, others), call, drawn = request
        start, since, assigned, begun, called, returned, answered, end = _cut_times(_times_of(request))
        queue, batch, decode, respond = _cut_ids(drawn.to_bytes(8 * UNNAMED, "big"))
        own, handler = span_id.to_bytes(8, "big"), call.handler.span_id.to_bytes(8, "big")
        # With the tags of what follows.
        trace = b"%b%b" % (trace_id.to_bytes(16, "big"), _SPAN)
        inside, in_batch = _PARENT + own, _PARENT + batch
        attributes, named = self._attributes, self._names[name]
        told = call.attributes.encoded or attributes(call.attributes)
        whole = b"%b%b%b" % (
            fixed.encoded or attributes(fixed),
            answer.encoded or attributes(answer),
            attributes(others),
        )
        above, flags = b"", _LOCAL
        if parent is not None:
            above, flags = _PARENT + parent.span_id.to_bytes(8, "big"), _REMOTE
        # fmt: off
        return b"".join((
            _QUEUE, trace, queue, inside, _QUEUED, since, _UNTIL, assigned, _LOCAL,

            _head(_BATCH_SIZE + len(told)), trace, batch, inside, _BATCHED, assigned, _UNTIL, answered,
            told, _LINK, trace, own, _LINKED_LOCAL,

            _DECODE, trace, decode, in_batch, _DECODED, begun, _UNTIL, called,

            _LOCAL_HANDLER, trace, handler, in_batch, _HANDLED, called, _UNTIL, returned,

            _LOCAL_RESPOND, trace, respond, inside, _RESPONDED, answered, _UNTIL, end, _LOCAL,

            _head(_IDS + len(above) + len(named) + _REST + len(whole)), trace, own, above, named,
            _SERVER, start, _UNTIL, end, whole, flags,
        ))
        # fmt: on


def _times_of(request: PlainRequest) -> bytes:
    """Return the nanoseconds of the start, of the call's times and of the end, as spans have them."""
    _, _, _, epoch, started, ended, _, call, _ = request
    since, assigned, begun, called, returned, answered, _, _ = call
    return _times(
        int((epoch + started) * 1e9),
        int((epoch + since) * 1e9),
        int((epoch + assigned) * 1e9),
        int((epoch + begun) * 1e9),
        int((epoch + called) * 1e9),
        int((epoch + returned) * 1e9),
        int((epoch + answered) * 1e9),
        int((epoch + ended) * 1e9),
    )
