"""
A light client for large calls over gRPC: one connection, a raw socket, HTTP/2 by hand.

It shares the processors with the servers that it asks, as ``bench.client`` does. A body leaves in as few
system calls as the server's windows let it (h2load: one for each frame of 16 kB). Answers are read 256 kB at
a time (h2load: 8 kB), and on Linux, what is in large frames is thrown away by the kernel. The status of every
call, and the length of every answer, are looked at.

Frames are as large as the server takes them, up to 4 MB, and it is told that its own may be so, too: this is
what grpcio does (1.85).

Runs as a process of its own (``python -m bench.rpc.client``), and prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import struct
import time
from collections.abc import Sequence
from pathlib import Path

from bench.client import DISCARD, LARGE, LONGEST_HEAD, STALL_SECONDS, Tally, connect, own_cpu
from bench.rpc.calls import Calls, Fields
from bench.rpc.http2 import Piece
from bench.rpc.messages import SERVICE

BUFFER = 1 << 18
LARGEST_FRAME = 4 << 20
AGENT = "grpc-python/1.85 grpc-c/55"


def request_fields(port: int, method: str) -> Fields:
    """What every call says before its body; no length: gRPC's libraries do not say it."""
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", f"/{SERVICE}/{method}"),
        (":authority", f"127.0.0.1:{port}"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("user-agent", AGENT),
    ]


def left_of(pieces: list[Piece], sent: int) -> list[Piece]:
    """What is left of pieces of which so many bytes were sent."""
    for place, piece in enumerate(pieces):
        if sent < len(piece):
            return [memoryview(piece)[sent:], *pieces[place + 1 :]]
        sent -= len(piece)
    return []


class Run:
    """Calls over one connection, for a bounded time."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._end = 0.0
        self.seconds = self.cpu = 0.0
        self.tally = Tally(200, options.length)
        self.calls = Calls(
            request_fields(options.port, options.method),
            Path(options.body).read_bytes(),
            options.length,
            options.in_flight,
            self.tally,
            time.perf_counter,
            self._may_begin,
            options.frame,
            options.frame,
        )
        self._buffer = memoryview(bytearray(BUFFER))
        self._kept = 0
        """Bytes at the buffer's beginning: of a frame that has begun."""
        self._pieces: list[Piece] = []

    def _may_begin(self) -> bool:
        return time.perf_counter() < self._end

    def drive(self) -> None:
        """
        Make the calls.

        :raises OSError: the connection broke.
        :raises ValueError: the server says what it may not.
        """
        with connect(self._options.port) as sock:
            sock.setblocking(True)  # what would block is asked not to, call by call
            seconds = struct.pack("ll", int(STALL_SECONDS), 0)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, seconds)
            ready = select.poll()
            ready.register(sock, select.POLLIN | select.POLLOUT)
            self.calls.greet()
            while not self.calls.is_told:
                self._write(sock)
                self._read(sock)
            begun, cpu = time.perf_counter(), own_cpu()
            self._end = begun + self._options.seconds
            self.calls.begin()
            while self.calls.calls:
                if self._write(sock) or self._may_read(ready):
                    self._read(sock)
                    self.calls.begin()
            self.seconds, self.cpu = time.perf_counter() - begun, own_cpu() - cpu

    def _write(self, sock: socket.socket) -> bool:
        """Send what there is; return whether the socket has taken all of it."""
        while pieces := self._pieces or self.calls.pieces():
            try:
                self._pieces = left_of(pieces, sock.sendmsg(pieces, (), socket.MSG_DONTWAIT))
            except BlockingIOError:
                self._pieces = pieces
                return False
        return True

    def _may_read(self, ready: select.poll) -> bool:
        """Wait until the socket can be written or read; return whether it can be read."""
        events = ready.poll(STALL_SECONDS * 1000)
        if not events:
            raise TimeoutError("nothing can be sent")
        return bool(events[0][1] & ~select.POLLOUT)

    def _read(self, sock: socket.socket) -> None:
        calls, buffer = self.calls, self._buffer
        try:
            if calls.missing >= LARGE and DISCARD:
                count = sock.recv_into(buffer, min(calls.missing, BUFFER), DISCARD)
                calls.skip(count)
            else:
                is_large = calls.last_size >= LARGE  # then of the next one, no more than its beginning
                most = calls.missing + LONGEST_HEAD if is_large else BUFFER
                count = sock.recv_into(buffer[self._kept : most])
                end = self._kept + count
                at = calls.receive(buffer[:end])
                self._kept = end - at
                buffer[: self._kept] = buffer[at:end]
        except BlockingIOError:
            raise TimeoutError("no answer in time") from None
        if not count:
            raise ConnectionError("closed by the server")

    def report(self) -> dict[str, object]:
        """What is printed."""
        return self.tally.report(self.seconds, self.cpu)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line of the client."""
    parser = argparse.ArgumentParser(prog="python -m bench.rpc.client", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--method", default="Predictions")
    parser.add_argument("--body", required=True, help="file with the framed request")
    parser.add_argument("--in-flight", type=int, default=8, help="calls at a time")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--length", type=int, required=True, help="bytes of a right answer's body")
    parser.add_argument(
        "--frame", type=int, default=LARGEST_FRAME, help="bytes of a frame, at most, both ways"
    )
    return parser.parse_args(arguments)


def main() -> None:
    """Make the calls and print the figures."""
    run = Run(parse())
    try:
        run.drive()
    except (OSError, ValueError) as error:
        run.tally.failed(str(error) or type(error).__name__)
    print(json.dumps(run.report()))


if __name__ == "__main__":
    main()
