"""Trace contexts as they travel in headers: W3C Trace Context, read strictly and from bytes."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

TRACEPARENT, TRACESTATE = b"traceparent", b"tracestate"
_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_STATE = re.compile(rb"[\x20-\x7e]{1,512}")


class SpanContext(NamedTuple):
    """
    What names a span, here and in other processes.

    :param trace_id: 128 bits, not 0.
    :param span_id: 64 bits, not 0.
    :param state: what tracing systems pass on beside these (``tracestate``), as it came.
    """

    trace_id: int
    span_id: int
    state: str = ""

    @property
    def shown(self) -> str:
        """The trace's id, as people and tools write it."""
        return f"{self.trace_id:032x}"


# A named tuple's own constructor is a function of Python's; a traced request has a dozen of these.
context_of: Callable[[tuple[int, int, str]], SpanContext] = partial(tuple.__new__, SpanContext)


class RemoteParent(NamedTuple):
    """The span of a client in which a request was made, and whether the client has its trace recorded."""

    context: SpanContext
    is_sampled: bool


def read_parent(traceparent: bytes | None, tracestate: bytes | None = None) -> RemoteParent | None:
    """
    Return what a client's headers say; None where they say nothing, or what is no trace context.

    A later version of the standard may have more behind the flags; of the flags, only the first bit is read.
    """
    found = None if traceparent is None else _TRACEPARENT.fullmatch(traceparent)
    if found is None:
        return None
    version, trace, span, flags, more = found.groups()
    trace_id, span_id = int(trace, 16), int(span, 16)
    if version == b"ff" or (version == b"00" and more is not None) or not trace_id or not span_id:
        return None
    state = ""
    if tracestate is not None and _STATE.fullmatch(tracestate) is not None:
        state = tracestate.decode("ascii")
    return RemoteParent(SpanContext(trace_id, span_id, state), bool(int(flags, 16) & 1))
