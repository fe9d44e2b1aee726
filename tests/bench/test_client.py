"""The load client counts right answers, and only those."""

from __future__ import annotations

import itertools
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from unittest import TestCase

from hypothesis import given
from hypothesis import strategies as st

from bench.client import Answer, Run, Tally, build_request, parse, percentile

WHOLE = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\n\r\nhello"


class AnswerTests(TestCase):
    """An answer is whole when its Content-Length has come."""

    @given(st.lists(st.integers(1, len(WHOLE) - 1), max_size=6, unique=True))
    def test_any_cut_of_the_bytes_is_one_whole_answer(self, cuts: list[int]) -> None:
        answer = Answer(Tally(200, 5))
        edges = [0, *sorted(cuts), len(WHOLE)]
        pieces = [WHOLE[start:end] for start, end in itertools.pairwise(edges)]
        told = [answer.feed(memoryview(piece)) for piece in pieces]
        self.assertEqual(told, [False] * (len(pieces) - 1) + [True])
        self.assertEqual(answer.length, 5)

    def test_an_answer_without_a_length_is_refused(self) -> None:
        with self.assertRaisesRegex(ValueError, "no content-length"):
            Answer(Tally(200, None)).feed(memoryview(b"HTTP/1.1 200 OK\r\n\r\n"))

    def test_bytes_after_the_answer_are_refused(self) -> None:
        with self.assertRaisesRegex(ValueError, "after the answer"):
            Answer(Tally(200, None)).feed(memoryview(WHOLE + b"!"))

    def test_a_cleared_answer_takes_the_next_one(self) -> None:
        answer = Answer(Tally(200, 5))
        answer.feed(memoryview(WHOLE))
        answer.clear()
        self.assertTrue(answer.feed(memoryview(WHOLE)))


class ReceiveTests(TestCase):
    """Of a large answer, only what comes with its head is looked at."""

    def test_a_large_body_is_counted_to_its_end(self) -> None:
        # The first buffer has many pieces thrown away and the last one read; the second takes all at once.
        for size in (50_000, 1 << 20):
            with self.subTest(size):
                self.check(size)

    def check(self, size: int) -> None:
        """Receive an answer of 300,000 bytes into a buffer of ``size``."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            ours = socket.create_connection(listening.getsockname(), timeout=20)
            theirs, _ = listening.accept()
        with ours, theirs:
            body = b"x" * 300_000
            sender = Thread(
                target=theirs.sendall,
                args=(b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + body,),
            )
            sender.start()
            sender.join(20)
            answer, buffer = Answer(Tally(200, 300_000)), memoryview(bytearray(size))
            while not answer.is_whole:
                self.assertGreater(answer.receive(ours, buffer), 0)
            self.assertEqual(
                (answer.head, answer.length), (b"HTTP/1.1 200 OK\r\nContent-Length: 300000", 300_000)
            )

    def test_the_end_of_the_stream_is_no_answer(self) -> None:
        ours, theirs = socket.socketpair()
        theirs.close()
        with ours:
            answer = Answer(Tally(200, None))
            self.assertEqual(answer.receive(ours, memoryview(bytearray(1 << 15))), 0)
            self.assertFalse(answer.is_whole)


class ConcurrentTests(TestCase):
    """Several connections, driven in turn."""

    def run_against(
        self, serve: Callable[[socket.socket], object], size: int, count: int
    ) -> dict[str, object]:
        """Put requests of ``size`` bytes on a server of two connections; return what is reported."""
        with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as listening:
            body = Path(folder) / "body"
            body.write_bytes(b"x" * size)
            port = str(listening.getsockname()[1])
            words = ("--port", port, "--path", "/", "--body", str(body), "--connections", "2")
            run = Run(parse([*words, "--count", str(count), "--length", "2", "--seconds", "20"]))

            def accept() -> None:
                accepted = [listening.accept()[0] for _ in range(2)]
                for connection in accepted:
                    connection.settimeout(20)
                    serve(connection)
                    connection.close()

            server = Thread(target=accept)
            server.start()
            run.concurrent()
            server.join(20)
            return run.report()

    def test_bodies_that_do_not_fit_into_the_socket_leave_as_it_empties(self) -> None:
        request = len(build_request("POST", "/", b"x" * 9_000_000))

        def serve(connection: socket.socket) -> None:
            left = request
            while piece := connection.recv(min(left, 1 << 16)):
                left -= len(piece)
                if not left:
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK")
                    left = request

        told = self.run_against(serve, 9_000_000, 4)
        self.assertEqual((4, {}), (told["requests"], told["errors"]))

    def test_connections_that_break_are_errors(self) -> None:
        told = self.run_against(lambda connection: connection.recv(1 << 16), 100, 4)
        self.assertEqual((0, {"closed by the server": 2}), (told["requests"], told["errors"]))


class TallyTests(TestCase):
    """Another status or length is an error, not an answer."""

    def test_a_right_answer_counts(self) -> None:
        tally = Tally(200, 5)
        tally.finished(b"HTTP/1.1 200 OK", 5, 0.25)
        self.assertEqual((tally.latencies, tally.errors), ([0.25], {}))

    def test_another_status_is_an_error(self) -> None:
        tally = Tally(200, None)
        tally.finished(b"HTTP/1.1 503 Service Unavailable", 5, 0.25)
        self.assertEqual((tally.latencies, tally.errors), ([], {"status 503": 1}))

    def test_another_length_is_an_error(self) -> None:
        tally = Tally(200, 5)
        tally.finished(b"HTTP/1.1 200 OK", 4, 0.25)
        self.assertEqual(tally.errors, {"length 4": 1})


class RequestTests(TestCase):
    """What is sent."""

    def test_a_post_says_how_long_its_body_is(self) -> None:
        request = build_request("POST", "/predictions/noop", b"abc")
        head, _, body = request.partition(b"\r\n\r\n")
        self.assertIn(b"Content-Length: 3", head.split(b"\r\n"))
        self.assertEqual(body, b"abc")

    def test_a_get_has_no_body(self) -> None:
        self.assertEqual(build_request("GET", "/ping", b""), b"GET /ping HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")


class PercentileTests(TestCase):
    """Percentiles of ordered values."""

    def test_median_and_tail(self) -> None:
        ordered = [float(value) for value in range(100)]
        self.assertEqual((percentile(ordered, 0.5), percentile(ordered, 0.99)), (50.0, 99.0))

    def test_nothing_measured_is_zero(self) -> None:
        self.assertEqual(percentile([], 0.5), 0.0)
