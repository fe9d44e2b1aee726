"""The floors answer as servers do, as far as the bench's client looks, and more where bodies are copied."""

from __future__ import annotations

from unittest import TestCase

from bench.client import build_request
from bench.floor import CopyingProtocol
from bench.selection import DEFAULT_LIMIT, limits_for


class Transport:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written = b""

    def writelines(self, pieces: tuple[bytes, memoryview]) -> None:
        """Copy, as a socket does."""
        self.written += b"".join(pieces)


class CopyingTests(TestCase):
    """A body comes back as it was, whatever pieces it came in."""

    def setUp(self) -> None:
        self.transport = Transport()
        self.protocol = CopyingProtocol()
        self.protocol.connection_made(self.transport)  # type: ignore[arg-type]  # all that it uses

    def receive(self, data: bytes) -> None:
        """Have a piece arrive."""
        room = self.protocol.get_buffer(-1)
        room[: len(data)] = data
        self.protocol.buffer_updated(len(data))

    def test_each_body_comes_back(self) -> None:
        for letter in (b"a", b"b"):
            request = build_request("POST", "/predictions/echo", letter * 70_000)
            for start in range(0, len(request), 30_000):
                self.assertEqual(self.transport.written, b"")
                self.receive(request[start : start + 30_000])
            head, _, body = self.transport.written.partition(b"\r\n\r\n")
            self.assertEqual(body, letter * 70_000)
            self.assertEqual(head, b"HTTP/1.1 200 OK\r\nContent-Length: 70000")
            self.transport.written = b""

    def test_a_head_may_come_in_pieces(self) -> None:
        request = build_request("POST", "/predictions/echo", b"body")
        self.receive(request[:9])
        self.receive(request[9:])
        self.assertTrue(self.transport.written.endswith(b"\r\n\r\nbody"))


class LimitTests(TestCase):
    """Servers keep their defaults unless a case needs more."""

    def test_only_bodies_over_the_default_need_settings(self) -> None:
        self.assertEqual(limits_for(DEFAULT_LIMIT), {})
        self.assertEqual(
            limits_for(10_000_000), {"max_request_size": 10_000_000, "max_response_size": 10_000_000}
        )
