"""The line that stands behind a client's headers where its request is traced: who calls the handler."""

from __future__ import annotations

_BEGIN = b"traceparent: 00-"
LENGTH = len(_BEGIN) + 32 + 1 + 16 + 5


def trace_line(trace_id: int, span_id: int) -> bytes:
    """Return a line of ``LENGTH`` bytes, its CRLF included, which makes a span the parent of a call."""
    return b"%b%032x-%016x-01\r\n" % (_BEGIN, trace_id, span_id)


def ends_with_one(block: bytes) -> bool:
    """Return whether the last one of header lines is as long as such a line, and begins like one."""
    return block.startswith(_BEGIN, len(block) - LENGTH) and block.endswith(b"-01\r\n")
