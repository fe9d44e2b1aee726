"""
An open load over HTTP/1.1: requests leave at their times, whatever becomes of those before them.

Runs as a process of its own (``python -m bench.arrivals``), imports the standard library only, and prints one
line of JSON. Times are counted from the moment at which a request should have left, and how late requests
left is told, too: where that is much, the figures are those of this client and of the machine, not of the
server. A connection is kept until the server says that it closes; a request that finds none idle opens one.
"""

from __future__ import annotations

import argparse
import errno
import json
import resource
import select
import socket
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from bench.client import build_request, cause, percentile

PATIENCE = 60.0
"""Seconds after the last request left in which answers are awaited; what then has none is unanswered."""
UNANSWERED = "unanswered"
MOST_AT_ONCE = 32
"""Requests that leave one after the other, where many are due, before answers are read again."""
BUFFER = 1 << 16


class Tally:
    """
    What became of the requests, of which each ends in exactly one of the counts.

    :param expected: the right answer; None: any.
    :param answered_in_time: how many were answered while requests still left.
    """

    def __init__(self, expected: bytes | None) -> None:
        self.expected = expected
        self.sent = self.answered_in_time = 0
        self.answers: list[float] = []
        self.refusals: list[float] = []
        self.late: list[float] = []
        self.failed: Counter[str] = Counter()

    def ended(self, status: int, body: bytes, seconds: float) -> None:
        """Count an answer."""
        if status != 200:
            self.failed[f"{status} {cause(body)}"] += 1
            self.refusals.append(seconds)
        elif self.expected is not None and body != self.expected:
            self.failed["wrong body"] += 1
        else:
            self.answers.append(seconds)

    def report(self) -> dict[str, object]:
        """What is printed."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "sent": self.sent,
            "answered": len(self.answers),
            "answered_in_time": self.answered_in_time,
            "failed": dict(self.failed),
            "answers": spread(self.answers),
            "refusals": spread(self.refusals),
            "late": spread(self.late),
            "cpu": usage.ru_utime + usage.ru_stime,
        }


def spread(seconds: Sequence[float]) -> list[float]:
    """The median, the 99th percentile and the longest; zeros where there are none."""
    ordered = sorted(seconds)
    return [percentile(ordered, 0.5), percentile(ordered, 0.99), percentile(ordered, 1.0)]


def parse_answer(data: bytes) -> tuple[int, bytes, bool] | None:
    """The status and body of an answer, and whether the server closes; None while it is not whole."""
    head, found, body = data.partition(b"\r\n\r\n")
    if not found:
        return None
    fields = head.lower()
    length = int(fields.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0] or 0)
    return (int(head[9:12]), body, b"\r\nconnection: close" in fields) if len(body) >= length else None


class Waiting:
    """A request on a connection of its own until it is answered."""

    __slots__ = ("data", "due", "rest", "sock", "watched")

    def __init__(self, sock: socket.socket, due: float, rest: bytes) -> None:
        self.sock, self.due, self.rest, self.data = sock, due, rest, b""
        self.watched = select.EPOLLIN


class Arrivals:
    """
    Requests at even distances, for so long.

    :param rate: a second.
    """

    def __init__(self, port: int, request: bytes, rate: float, seconds: float, tally: Tally) -> None:
        self._address, self._request, self._tally = ("127.0.0.1", port), request, tally
        self._rate, self._count = rate, int(rate * seconds)
        self._poll = select.epoll()
        self._waiting: dict[int, Waiting] = {}
        self._idle: dict[int, socket.socket] = {}

    def run(self) -> None:
        """Send, then wait for the last answers."""
        tally, clock = self._tally, time.perf_counter
        begun = clock()
        while tally.sent < self._count:
            due = begun + tally.sent / self._rate
            self._look(max(0.0, due - clock()))
            for _ in range(MOST_AT_ONCE):
                if due > clock() or tally.sent == self._count:
                    break
                self._send(due)
                due = begun + tally.sent / self._rate
        tally.answered_in_time = len(tally.answers)
        end = clock() + PATIENCE
        while self._waiting and clock() < end:
            self._look(0.1)
        for waiting in list(self._waiting.values()):
            self._lose(waiting)

    def _send(self, due: float) -> None:
        tally = self._tally
        tally.sent += 1
        tally.late.append(time.perf_counter() - due)
        if self._idle:
            number, sock = self._idle.popitem()
        else:
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            refused = sock.connect_ex(self._address)
            if refused not in (0, errno.EINPROGRESS):
                tally.failed[UNANSWERED] += 1
                sock.close()
                return
            number = sock.fileno()
            self._poll.register(number, select.EPOLLIN)
        self._waiting[number] = waiting = Waiting(sock, due, self._request)
        self._write(waiting)

    def _write(self, waiting: Waiting) -> None:
        sock = waiting.sock
        try:
            waiting.rest = waiting.rest[sock.send(waiting.rest) :]
        except BlockingIOError:
            pass
        except OSError:
            self._lose(waiting)
            return
        wants = select.EPOLLIN | (select.EPOLLOUT if waiting.rest else 0)
        if wants != waiting.watched:
            waiting.watched = wants
            self._poll.modify(sock.fileno(), wants)

    def _look(self, seconds: float) -> None:
        """Read what has come, for so long if nothing has."""
        for number, events in self._poll.poll(seconds):
            waiting = self._waiting.get(number)
            if waiting is None:
                self._close(self._idle.pop(number))  # the server closes it, or says what nobody asked
            elif events & select.EPOLLOUT:
                self._write(waiting)
            else:
                self._read(waiting)

    def _read(self, waiting: Waiting) -> None:
        try:
            data = waiting.sock.recv(BUFFER)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lose(waiting)
            return
        waiting.data += data
        answer = parse_answer(waiting.data)
        if answer is None:
            return
        status, body, closes = answer
        sock = waiting.sock
        del self._waiting[sock.fileno()]
        self._tally.ended(status, body, time.perf_counter() - waiting.due)
        if closes:
            self._close(sock)
        else:
            self._idle[sock.fileno()] = sock

    def _lose(self, waiting: Waiting) -> None:
        del self._waiting[waiting.sock.fileno()]
        self._tally.failed[UNANSWERED] += 1
        self._close(waiting.sock)

    def _close(self, sock: socket.socket) -> None:
        self._poll.unregister(sock.fileno())
        sock.close()


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line of the load."""
    parser = argparse.ArgumentParser(prog="python -m bench.arrivals", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", required=True)
    parser.add_argument("--body", default="", help="file with the body")
    parser.add_argument("--rate", type=float, required=True, help="requests a second")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--expected", default=None, help="what the right answer is")
    return parser.parse_args(arguments)


def main() -> None:
    """Run one load and print the figures."""
    options = parse()
    body = Path(options.body).read_bytes() if options.body else b""
    tally = Tally(None if options.expected is None else options.expected.encode())
    request = build_request("POST", options.path, body)
    Arrivals(options.port, request, options.rate, options.seconds, tally).run()
    print(json.dumps(tally.report()))


if __name__ == "__main__":
    main()
