"""Connections on a TLS port until their first byte, on a loop that the test turns."""

from __future__ import annotations

import asyncio
import socket
import ssl
from datetime import datetime, timezone
from unittest import TestCase

from modelserver.server.tls.acceptor import TlsAcceptor
from modelserver.server.tls.context import self_signed, server_context

REFUSAL = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n"
LONGEST = 60.0


class Echo(asyncio.Protocol):
    """Sends back what comes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)  # type: ignore[attr-defined]


class AcceptorTests(TestCase):
    """A real listening socket on loopback."""

    def setUp(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.addCleanup(self.loop.close)
        self.bound = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self.bound.setblocking(False)
        self.port = self.bound.getsockname()[1]
        shown = self_signed("localhost", datetime.now(timezone.utc))
        self.client = ssl.create_default_context(cadata=shown.chain.decode("ascii"))
        self.acceptor = TlsAcceptor(self.loop, self.bound, server_context(shown), Echo, REFUSAL)
        self.acceptor.start()
        self.addCleanup(self.acceptor.close)

    def run_for(self, talk: object) -> object:
        return self.loop.run_until_complete(asyncio.wait_for(talk, LONGEST))  # type: ignore[arg-type]

    async def say(self, words: bytes, tls: ssl.SSLContext | None = None) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=tls)
        writer.write(words)
        answer = await reader.read(len(REFUSAL))
        writer.close()
        return answer

    def test_tls(self) -> None:
        self.assertEqual(self.run_for(self.say(b"hello", self.client)), b"hello")

    def test_anything_else_is_refused_with_an_answer(self) -> None:
        for words in (b"GET / HTTP/1.1\r\n\r\n", b"x", b"\x80\x2e\x01", b"y" * 1_000_000):
            self.assertEqual(self.run_for(self.say(words)), REFUSAL, words[:20])

    def test_a_client_that_leaves_without_a_word_is_forgotten(self) -> None:
        async def talk() -> bytes:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.close()
            await writer.wait_closed()
            return await self.say(b"hello", self.client)

        self.assertEqual(self.run_for(talk()), b"hello")

    def test_the_oldest_silent_client_goes_for_one_more(self) -> None:
        self.acceptor.most_silent = 3

        async def talk() -> list[bytes]:
            pairs = [await asyncio.open_connection("127.0.0.1", self.port) for _ in range(5)]
            gone = [await reader.read(1) for reader, _ in pairs[:2]]
            answer = await self.say(b"hello", self.client)
            for _, writer in pairs:
                writer.close()
            return [*gone, answer]

        self.assertEqual(self.run_for(talk()), [b"", b"", b"hello"])
