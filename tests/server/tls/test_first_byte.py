"""Connections on a TLS port until their first byte, on Twisted's transports."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from OpenSSL import SSL
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from modelserver.server.tls.acceptor import HANDSHAKE_TIMEOUT, LINGER
from modelserver.server.tls.context import self_signed, server_context
from modelserver.server.tls.first_byte import FirstByteFactory
from modelserver.server.tls.material import Tls

SHOWN = self_signed("localhost", datetime.now(timezone.utc))
REFUSAL = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n"
TLS = Tls(SHOWN, server_context(SHOWN), REFUSAL)


class Wire(StringTransport):
    """A transport in memory that can be closed for writing only."""

    is_half_closed = False
    protocol: Any

    def loseWriteConnection(self) -> None:
        """Note it."""
        self.is_half_closed = True


class Greeter(Protocol):
    """Speaks first."""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"hello")


GREETERS: Any = ServerFactory.forProtocol(Greeter)


class Full(ServerFactory):
    """Takes no more connections."""

    def buildProtocol(self, addr: object) -> None:
        return None


class FirstByteTests(SynchronousTestCase):
    """The first byte decides."""

    def connect(self, factory: Any = None) -> Wire:
        self.clock, wire = Clock(), Wire()
        owner = FirstByteFactory(factory or GREETERS, TLS, self.clock)
        wire.protocol = owner.buildProtocol(wire.getPeer())
        wire.protocol.makeConnection(wire)
        return wire

    def client(self) -> SSL.Connection:
        client = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
        client.set_connect_state()
        return client

    def step(self, client: SSL.Connection) -> None:
        try:
            client.do_handshake()
        except SSL.WantReadError:
            pass

    def test_tls(self) -> None:
        wire, client = self.connect(), self.client()
        for _ in range(2):
            self.step(client)
            wire.protocol.dataReceived(client.bio_read(65536))
            self.clock.advance(0)
            client.bio_write(wire.value())
            wire.clear()
        self.assertEqual(client.recv(5), b"hello")
        self.clock.advance(HANDSHAKE_TIMEOUT + 1)
        self.assertFalse(wire.disconnected or wire.disconnecting)

    def test_plain_http_is_told_so_once(self) -> None:
        wire = self.connect()
        wire.protocol.dataReceived(b"POST / HTTP/1.1\r\n")
        wire.protocol.dataReceived(b"\x16 is what a body may hold")
        self.assertEqual((wire.value(), wire.is_half_closed), (REFUSAL, True))
        self.clock.advance(LINGER - 1)
        self.assertFalse(wire.disconnected)
        self.clock.advance(1)
        self.assertTrue(wire.disconnected)

    def test_who_says_nothing_is_not_waited_for(self) -> None:
        wire = self.connect()
        self.clock.advance(HANDSHAKE_TIMEOUT)
        self.assertTrue(wire.disconnected)

    def test_the_oldest_silent_client_goes_for_one_more(self) -> None:
        owner = FirstByteFactory(GREETERS, TLS, Clock())
        owner.most_silent = 2
        wires = [Wire() for _ in range(3)]
        for wire in wires:
            owner.buildProtocol(wire.getPeer()).makeConnection(wire)
        self.assertEqual([wire.disconnected for wire in wires], [True, False, False])

    def test_who_leaves_is_forgotten(self) -> None:
        wire = self.connect()
        wire.protocol.connectionLost()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_too_many_connections(self) -> None:
        wire, client = self.connect(Full()), self.client()
        self.step(client)
        wire.protocol.dataReceived(client.bio_read(65536))
        self.assertTrue(wire.disconnected)
