"""The line that stands behind a client's headers where its request is traced: who calls the handler."""

from __future__ import annotations

_BEGIN = b"traceparent: 00-"
LENGTH = len(_BEGIN) + 32 + 1 + 16 + 5


def trace_line(trace_id: int, span_id: int) -> bytes:
    """Return a line of ``LENGTH`` bytes, its CRLF included, which makes a span the parent of a call."""
    return b"%b%032x-%016x-01\r\n" % (_BEGIN, trace_id, span_id)


def ends_with_one(block: bytes) -> bool:
    """Return whether the last one of header lines is as long as such a line, and begins like one."""
    at = len(block) - LENGTH
    if at < 0 or not block.startswith(_BEGIN, at):
        return False
    return block.find(b"\r\n", at) == len(block) - 2 and (not at or block.startswith(b"\r\n", at - 2))
