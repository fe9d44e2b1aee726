"""
The floor: an HTTP-shaped echo without HTTP.

A connection's first request is read once, for its length; after that bytes are counted, nothing is parsed,
and each full count is answered with a constant (``OK``, or as many bytes as came, for a path with ``echo``).

With ``--copies``, a body is copied as often as a server must whose handlers run elsewhere, and sent back:
from the socket into shared memory, there into a handler's own, back into shared memory, and into the socket.
"""

from __future__ import annotations

import argparse
import asyncio
import mmap
import re
from collections.abc import Callable
from typing import cast

LARGEST = 32 * 1024 * 1024
"""Bytes that a request may have whose body is copied."""
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
        head, length = measure(self._first)
        self._size = len(head) + 4 + length
        body = bytes(length) if b"echo" in head.split(b"\r\n", 1)[0] else b"OK"
        self._answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


class CopyingProtocol(asyncio.BufferedProtocol):
    """
    Copies each body into a handler's memory and back, and sends it.

    Only for clients that send a request when they have the whole answer to the one before, and all alike.
    """

    def __init__(self) -> None:
        self._slot = memoryview(mmap.mmap(-1, LARGEST))  # shared, as an anonymous map is by default
        self._come = self._size = self._body_at = 0
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        return self._slot[self._come : self._size or LARGEST]

    def buffer_updated(self, nbytes: int) -> None:
        """Count; answer when the request is complete."""
        self._come += nbytes
        if not self._size:
            self._measure()
        if not self._size or self._come < self._size:
            return
        self._come = 0
        place = self._slot[self._body_at : self._size]
        body = bytearray(place)
        place[:] = body
        self._transport.writelines((self._head, place))

    def _measure(self) -> None:
        first = bytes(self._slot[: min(self._come, 4096)])
        if b"\r\n\r\n" in first:
            head, length = measure(first)
            self._body_at = len(head) + 4
            self._size = self._body_at + length
            self._head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length


def measure(request: bytes) -> tuple[bytes, int]:
    """Return the head of a request, without the empty line, and the length of its body."""
    head, _, _ = request.partition(b"\r\n\r\n")
    found = LENGTH.search(head)
    return head, int(found[1]) if found else 0


async def serve(port: int, protocol: Callable[[], asyncio.BaseProtocol]) -> None:
    """Listen on a loopback port until the process is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(protocol, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


def main() -> None:
    """Serve on the port named on the command line, on uvloop where it is installed."""
    parser = argparse.ArgumentParser(prog="python -m bench.floor", description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--copies", action="store_true", help="echo bodies through a handler's memory")
    options = parser.parse_args()
    serving = serve(options.port, CopyingProtocol if options.copies else CountingProtocol)
    try:
        import uvloop
    except ImportError:
        asyncio.run(serving)
    else:
        uvloop.run(serving)


if __name__ == "__main__":
    main()
