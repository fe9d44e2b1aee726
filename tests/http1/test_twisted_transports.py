"""Twisted's own transports: they tell less by themselves than those of the loops. Real sockets."""

from __future__ import annotations

import contextlib
import socket
from typing import cast

from twisted.internet.protocol import Factory, Protocol
from twisted.internet.tcp import Server
from twisted.internet.testing import MemoryReactor
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.trial.unittest import SynchronousTestCase

from modelserver.http1.states import ConnectionTransport, unsent_by
from modelserver.jobs import Answer
from tests.harness.connections import ConnectionStage

HOST = "127.0.0.1"
LONGEST = 30.0
"""Seconds for what is there already."""
DATA = bytes(5_000_000)
REQUEST = b"POST /predictions/noop HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx"


class TransportCase(SynchronousTestCase):
    """One connection of a server."""

    def connect(self, protocol: Protocol) -> Server:
        """Return the server's end, after ``client`` was made."""
        with socket.create_server((HOST, 0)) as listening:
            self.client = socket.create_connection(listening.getsockname())
            accepted, address = listening.accept()
        self.addCleanup(self.client.close)
        self.addCleanup(accepted.close)
        accepted.setblocking(False)
        self.reactor = MemoryReactor()
        return Server(accepted, protocol, address, None, 0, self.reactor)  # type: ignore[arg-type]  # no port


class LastAnswerTests(TransportCase):
    """The end of the connection is behind the answer, however large that is."""

    def test_it_ends_the_connection(self) -> None:
        for size in (1_000, 1_000_000):
            with self.subTest(size=size):
                stage = ConnectionStage()
                connection = stage.factory.buildProtocol(None)
                transport = self.connect(connection)
                connection.makeConnection(transport)
                connection.dataReceived(REQUEST)
                stage.turn()
                self.assertTrue(stage.answer(Answer(200, b"", bytes(size))))
                received = self.receive_all(transport)
                self.assertEqual(bytes(size), received.partition(b"\r\n\r\n")[2])

    def receive_all(self, transport: Server) -> bytes:
        """Return what comes until the end of the connection, which is to come."""
        self.client.setblocking(False)
        received = b""
        while transport in self.reactor.writers:
            transport.doWrite()
            with contextlib.suppress(BlockingIOError):
                received += self.client.recv(1 << 20)
        self.client.settimeout(LONGEST)
        while data := self.client.recv(1 << 20):
            received += data
        return received


class UnsentTests(TransportCase):
    """Whatever a client does not take is counted."""

    def setUp(self) -> None:
        self.transport = self.connect(Protocol())
        self.unsent, self.untaken = unsent_by(cast(ConnectionTransport, self.transport))

    def receive(self, size: int) -> None:
        while size:
            size -= len(self.client.recv(min(size, 1 << 16)))

    def test_what_was_written_is_unsent_until_the_system_takes_it(self) -> None:
        self.transport.write(DATA)
        self.assertEqual((len(DATA), len(DATA)), (self.unsent(), self.untaken()))
        self.transport.doWrite()
        left = self.unsent()
        self.assertLess(0, left)
        self.assertLess(left, len(DATA))
        self.transport.write(b"more")
        self.assertEqual(left + 4, self.unsent())

    def test_what_the_system_has_taken_is_still_not_taken_by_the_client(self) -> None:
        self.transport.write(DATA)
        self.transport.doWrite()
        sent = len(DATA) - self.unsent()
        self.receive(sent)
        self.assertLessEqual(self.unsent(), self.untaken())
        self.assertLessEqual(self.untaken(), len(DATA))

    def test_nothing_is_left_of_an_answer_that_was_received(self) -> None:
        self.transport.write(b"x" * 1000)
        self.transport.doWrite()
        self.receive(1000)
        self.assertEqual(0, self.unsent())

    def test_a_transport_in_another_one_is_asked(self) -> None:
        """TLS of Twisted's is such a wrapper."""
        wrapper = ProtocolWrapper(WrappingFactory(Factory()), Protocol())
        wrapper.makeConnection(self.transport)
        unsent, untaken = unsent_by(cast(ConnectionTransport, wrapper))
        self.transport.write(DATA)
        self.assertEqual((len(DATA), len(DATA)), (unsent(), untaken()))

    def test_none_is_left_once_it_is_closed(self) -> None:
        self.transport.socket.close()
        self.assertEqual(0, self.untaken())
