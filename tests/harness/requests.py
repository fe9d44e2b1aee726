"""Requests as clients send them to a connection."""

from __future__ import annotations

H = b"POST /predictions/noop HTTP/1.1\r\nHost: x\r\n"
HOT = H + b"Content-Length: 3\r\n\r\nabc"
PING = b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = H + b"Transfer-Encoding: chunked\r\n\r\n"


OLD = b"POST /predictions/noop HTTP/1.0\r\nHost: x\r\n"
