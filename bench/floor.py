"""
The floor: an HTTP-shaped echo without HTTP.

A connection's first request is read once, for its length; after that bytes are counted, nothing is parsed,
and each full count is answered with a constant (``OK``, or as many bytes as came, for a path with ``echo``).
"""

from __future__ import annotations

import asyncio
import re
import sys
from typing import cast

LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


class CountingProtocol(asyncio.Protocol):
    """Counts the bytes of a connection and answers each time a request's worth has come."""

    def __init__(self) -> None:
        self._size = 0
        self._pending = 0
        self._first = b""
        self._answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # uvloop's transports have asyncio's methods, but are no subclass.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Count; answer as many times as requests are complete."""
        if not self._size:
            self._first += data
            if b"\r\n\r\n" not in self._first:
                return
            self._measure()
            self._pending = len(self._first)
        else:
            self._pending += len(data)
        while self._pending >= self._size:
            self._pending -= self._size
            self._transport.write(self._answer)

    def _measure(self) -> None:
        head, _, _ = self._first.partition(b"\r\n\r\n")
        found = LENGTH.search(head)
        length = int(found[1]) if found else 0
        self._size = len(head) + 4 + length
        body = bytes(length) if b"echo" in head.split(b"\r\n", 1)[0] else b"OK"
        self._answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


async def serve(port: int) -> None:
    """Listen on a loopback port until the process is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(CountingProtocol, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


def main() -> None:
    """Serve on the port named on the command line, on uvloop where it is installed."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(serve(int(sys.argv[1])))
    else:
        uvloop.run(serve(int(sys.argv[1])))


if __name__ == "__main__":
    main()
