"""
A small load client: raw sockets, kept alive; every answer is checked for its status and length.

It shares the processors with the servers that it asks. So it runs on no event loop but its own few lines, and
copies no bytes that it does not look at: on Linux, a large body is counted in the kernel and thrown away
there, but for what comes with its head or last.

Runs as a process of its own (``python -m bench.client``), imports the standard library only, and prints one
line of JSON. One connection is driven by a blocking loop, which adds the least to the latency it measures.
"""

from __future__ import annotations

import argparse
import json
import resource
import selectors
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

BUFFER = 1 << 20
LONGEST_HEAD = 1 << 14
LARGE = 1 << 16
"""Bytes of an answer that are still to come, from which on it is cheaper not to copy them."""
DISCARD = socket.MSG_TRUNC if sys.platform == "linux" else 0
"""A flag with which the kernel throws away what a TCP socket receives, and counts it (tcp(7))."""
STALL_SECONDS = 20.0
LATE = 5.0
"""Seconds from which on an answer of a fast handler counts as one that was lost and asked for again."""


class Tally:
    """Answers so far: how many were right, how long each took, what was wrong with the others."""

    def __init__(self, status: int, length: int | None) -> None:
        self._start = f"HTTP/1.1 {status} ".encode()
        self._length = length
        self.latencies: list[float] = []
        self.errors: dict[str, int] = {}

    def failed(self, reason: str) -> None:
        """Count an error."""
        self.errors[reason] = self.errors.get(reason, 0) + 1

    def expected(self, head: bytes) -> int:
        """
        The body length that an answer's head promises.

        :param head: up to and without the empty line.
        :returns: -1 where it has no Content-Length.
        """
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"content-length":
                return int(value)
        return -1

    def finished(self, head: bytes, length: int, seconds: float) -> None:
        """Check a whole answer and count it."""
        if not head.startswith(self._start):
            self.failed("status " + head[9:12].decode("latin-1"))
        elif self._length is not None and length != self._length:
            self.failed(f"length {length}")
        else:
            self.latencies.append(seconds)

    def report(self, seconds: float, cpu: float) -> dict[str, object]:
        """
        What a client prints.

        :param seconds: that it took.
        :param cpu: seconds of processors that it has used itself.
        """
        latencies = sorted(self.latencies)
        return {
            "requests": len(latencies),
            "seconds": seconds,
            "p50": percentile(latencies, 0.50),
            "p99": percentile(latencies, 0.99),
            "errors": self.errors,
            "late": sum(each > LATE for each in latencies),
            "cpu": cpu,
        }


class Answer:
    """One answer on its way in: fed with what arrives, says when it is whole."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self.clear()

    def clear(self) -> None:
        """Wait for the next answer."""
        self.head, self.length, self._start, self._missing = b"", 0, b"", -1
        self.is_whole = False

    def receive(self, sock: socket.socket, buffer: memoryview) -> int:
        """
        Receive once; return how many bytes came, 0 at the end of the stream.

        :raises ValueError: as ``feed``.
        """
        missing = self._missing
        if missing >= LARGE:
            count = sock.recv_into(buffer, min(missing, len(buffer)), DISCARD)
            self._missing = missing - count
            self.is_whole = not self._missing
            return count
        count = sock.recv_into(buffer, LONGEST_HEAD if missing < 0 else 0)
        self.is_whole = count > 0 and self.feed(buffer[:count])
        return count

    def feed(self, piece: memoryview) -> bool:
        """
        Take bytes; true when the answer is whole.

        :raises ValueError: there is no Content-Length, or bytes after the end.
        """
        if self._missing < 0:
            before = len(self._start)
            start = self._start + bytes(piece[:LONGEST_HEAD])
            end = start.find(b"\r\n\r\n")
            if end < 0:
                self._start = start
                return False
            self.head = start[:end]
            self.length = self._tally.expected(self.head)
            if self.length < 0:
                raise ValueError("no content-length")
            self._missing = self.length - (before + len(piece) - end - 4)
        else:
            self._missing -= len(piece)
        if self._missing < 0:
            raise ValueError("bytes after the answer")
        return self._missing == 0


def connect(port: int) -> socket.socket:
    """A connection to a loopback port."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=STALL_SECONDS)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


class Connection:
    """One kept-alive connection: the next request leaves when the answer is whole."""

    def __init__(self, run: Run, selector: selectors.BaseSelector) -> None:
        self._run, self._selector = run, selector
        self._answer = Answer(run.tally)
        self._rest = memoryview(b"")
        self._waiting = False
        self._sock: socket.socket | None = None
        self._began = 0.0

    def open(self) -> None:
        """Connect, and send the first request."""
        try:
            sock = connect(self._run.port)
        except OSError as error:
            self._run.lost(f"connect: {error}")
            return
        sock.setblocking(False)
        self._sock = sock
        self._selector.register(sock, selectors.EVENT_READ, self)
        self._send()

    def close(self) -> None:
        """Leave."""
        if self._sock is not None:
            self._selector.unregister(self._sock)
            self._sock.close()
            self._sock = None

    def ready(self, events: int) -> None:
        """Read, or write, or both: the socket can."""
        if events & selectors.EVENT_READ:
            self._read()
        if events & selectors.EVENT_WRITE and self._waiting and self._sock is not None:
            self._write()

    def _send(self) -> None:
        if not self._run.may_send():
            self.close()
            self._run.connection_finished()
            return
        self._answer.clear()
        self._began = time.perf_counter()
        self._rest = self._run.request
        self._write()

    def _write(self) -> None:
        sock = self._sock
        assert sock is not None
        try:
            while self._rest:
                self._rest = self._rest[sock.send(self._rest) :]
        except BlockingIOError:
            self._wait_to_write(True)
        except OSError as error:
            self._lose(f"send: {type(error).__name__}")
        else:
            self._wait_to_write(False)

    def _wait_to_write(self, waiting: bool) -> None:
        if self._waiting is not waiting and self._sock is not None:
            self._waiting = waiting
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if waiting else 0)
            self._selector.modify(self._sock, events, self)

    def _read(self) -> None:
        assert self._sock is not None
        answer = self._answer
        try:
            while (count := answer.receive(self._sock, self._run.buffer)) and not answer.is_whole:
                pass
        except BlockingIOError:
            return
        except (OSError, ValueError) as error:
            self._lose(f"receive: {error or type(error).__name__}")
            return
        if count == 0:
            self._lose("closed by the server")
        else:
            self._run.tally.finished(answer.head, answer.length, time.perf_counter() - self._began)
            self._send()

    def _lose(self, reason: str) -> None:
        self.close()
        self._run.lost(reason)


class Run:
    """A bounded number of requests, for a bounded time, over some connections."""

    def __init__(self, options: argparse.Namespace) -> None:
        body = Path(options.body).read_bytes() if options.body else b""
        self.port: int = options.port
        self.request = memoryview(build_request(options.method, options.path, body, options.content_type))
        self.tally = Tally(options.status, options.length)
        self.buffer = memoryview(bytearray(BUFFER))
        self.seconds = 0.0
        self._options = options
        self._sent = 0
        self._end = 0.0
        self._open = 0

    def may_send(self) -> bool:
        """Whether there are time and requests left; counts one."""
        if time.perf_counter() >= self._end or self._sent >= self._options.count:
            return False
        self._sent += 1
        return True

    def lost(self, reason: str) -> None:
        """A connection broke: an error, and not opened again."""
        self.tally.failed(reason)
        self.connection_finished()

    def connection_finished(self) -> None:
        """A connection is through."""
        self._open -= 1

    def blocking(self) -> None:
        """Drive one connection by plain blocking calls."""
        answer, clock = Answer(self.tally), time.perf_counter
        with connect(self.port) as sock:
            begun = clock()
            self._end = begun + self._options.seconds
            while self.may_send():
                answer.clear()
                sent = clock()
                sock.sendall(self.request)
                while not answer.is_whole:
                    if not answer.receive(sock, self.buffer):
                        raise ConnectionError("closed by the server")
                self.tally.finished(answer.head, answer.length, clock() - sent)
            self.seconds = clock() - begun

    def concurrent(self) -> None:
        """Drive all connections in turn."""
        with selectors.DefaultSelector() as selector:
            connections = [Connection(self, selector) for _ in range(self._options.connections)]
            self._open = len(connections)
            begun = time.perf_counter()
            self._end = begun + self._options.seconds
            for connection in connections:
                connection.open()
            last = self._end + STALL_SECONDS
            while self._open and (left := last - time.perf_counter()) > 0:
                for key, events in selector.select(left):
                    key.data.ready(events)
            for _ in range(self._open):
                self.tally.failed("no answer in time")
            self.seconds = time.perf_counter() - begun
            for connection in connections:
                connection.close()

    def report(self) -> dict[str, object]:
        """What is printed."""
        return self.tally.report(self.seconds, own_cpu())


def build_request(
    method: str, path: str, body: bytes, content_type: str = "application/octet-stream"
) -> bytes:
    """One request, ready to be sent again and again."""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    if method != "GET":
        head += f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


def cause(body: bytes) -> str:
    """What a refusal says, in few words."""
    try:
        found = json.loads(body)
    except ValueError:
        return ""
    limit = f"{found['limit']} " if "limit" in found else ""
    return (limit + str(found.get("reason") or found.get("message") or ""))[:100]


def own_cpu() -> float:
    """Seconds of processors that this process has used."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which ``share`` of the ordered values lie; 0 where there are none."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line of the client."""
    parser = argparse.ArgumentParser(prog="python -m bench.client", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", required=True)
    parser.add_argument("--method", default="POST")
    parser.add_argument("--body", default="", help="file with the body")
    parser.add_argument("--content-type", default="application/octet-stream", help="of the body")
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--count", type=int, default=1_000_000, help="at most so many requests")
    parser.add_argument("--status", type=int, default=200, help="expected status")
    parser.add_argument("--length", type=int, default=None, help="expected length of the answer's body")
    return parser.parse_args(arguments)


def main() -> None:
    """Run one load and print the figures."""
    options = parse()
    run = Run(options)
    if options.connections == 1:
        try:
            run.blocking()
        except (OSError, ValueError) as error:
            run.tally.failed(str(error) or type(error).__name__)
    else:
        run.concurrent()
    print(json.dumps(run.report()))


if __name__ == "__main__":
    main()
