"""Connections go to the addresses that were checked, and responses may not lie."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import (
    ConnectingCancelledError,
    ConnectionDone,
    ConnectionRefusedError,
    DNSLookupError,
)
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import BrowserLikePolicyForHTTPS, ResponseDone, ResponseFailed
from twisted.web.iweb import IPolicyForHTTPS, IResponse
from zope.interface import implementer

from modelserver.sources.address_policy import is_open
from modelserver.sources.pinned_agent import AddressRefused, pinned_agent
from modelserver.sources.response_body import MOST_WAITING, Body
from modelserver.sources.response_guard import LONGEST_HEAD
from tests.harness.sources import FakeResolver


@implementer(IPolicyForHTTPS)
class NotingPolicy:
    """TLS as browsers do it, noting for which host."""

    def __init__(self) -> None:
        self.hosts: list[tuple[bytes, int]] = []

    def creatorForNetloc(self, hostname: bytes, port: int) -> IOpenSSLClientConnectionCreator:
        self.hosts.append((hostname, port))
        creator: IOpenSSLClientConnectionCreator = BrowserLikePolicyForHTTPS().creatorForNetloc(
            hostname, port
        )
        return creator


class AbortableTransport(StringTransport):
    """Notes how the connection was ended."""

    ending = ""
    protocol: Any

    def abortConnection(self) -> None:
        self.ending = "aborted"
        self.protocol.connectionLost(Failure(ConnectionDone()))

    def loseConnection(self) -> None:
        self.ending = "closed"
        self.protocol.connectionLost(Failure(ConnectionDone()))


class PinnedTestCase(SynchronousTestCase):
    """An agent on a reactor in memory."""

    answers: tuple[tuple[str, ...], ...] = (("10.0.0.1",),)

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.resolver = FakeResolver(list(self.answers))
        self.tls = NotingPolicy()
        self.agent = pinned_agent(self.reactor, self.resolver, is_open, self.tls)

    def ask(self, url: str, *answers: tuple[str, ...]) -> Deferred[IResponse]:
        """Ask for a URL whose host has these addresses, one tuple for each resolution."""
        self.resolver.answers = list(answers or self.answers)
        return self.agent.request(b"GET", url.encode())

    def connected_to(self) -> list[tuple[str, int]]:
        """The addresses and ports that were tried."""
        return [(host, port) for host, port, *_ in self.reactor.tcpClients]

    def connect(self, index: int = -1) -> AbortableTransport:
        """Let a connection succeed."""
        transport = AbortableTransport()
        transport.protocol = self.reactor.tcpClients[index][2].buildProtocol(None)
        transport.protocol.makeConnection(transport)
        return transport

    def refuse(self, index: int = -1) -> None:
        """Let a connection fail."""
        factory: Any = self.reactor.tcpClients[index][2]
        factory.clientConnectionFailed(None, Failure(ConnectionRefusedError()))


class AddressTests(PinnedTestCase):
    """Which address is connected to."""

    def test_the_checked_address_with_one_resolution(self) -> None:
        self.ask("http://h:8000/x", ("10.0.0.1",), ("127.0.0.1",))
        transport = self.connect()
        self.assertEqual((self.connected_to(), self.resolver.asked), ([("10.0.0.1", 8000)], ["h"]))
        self.assertIn(b"Host: h:8000\r\n", transport.value())

    def test_each_request_is_checked_anew(self) -> None:
        self.ask("http://h/x", ("10.0.0.1",), ("127.0.0.1",))
        self.connect()
        waiting = self.agent.request(b"GET", b"http://h/x")
        error = self.failureResultOf(waiting, AddressRefused).value
        self.assertEqual((error.host, error.address), ("h", IPv4Address("127.0.0.1")))
        self.assertEqual(len(self.connected_to()), 1)

    def test_one_refused_address_refuses_the_host(self) -> None:
        for addresses in (("10.0.0.1", "127.0.0.1"), ("::1",), ("8.8.8.8", "::ffff:169.254.169.254")):
            self.failureResultOf(self.ask("http://h/x", addresses), AddressRefused)
        self.assertEqual(self.connected_to(), [])

    def test_literal_addresses_are_checked_and_not_resolved(self) -> None:
        self.failureResultOf(self.ask("http://127.0.0.1/x"), AddressRefused)
        error = self.failureResultOf(self.ask("http://[::1]:8000/x"), AddressRefused).value
        self.assertEqual(error.address, IPv6Address("::1"))
        self.ask("http://[fd00::1]:8000/x")
        self.assertEqual((self.connected_to(), self.resolver.asked), ([("fd00::1", 8000)], []))

    def test_the_next_address_after_one_that_fails(self) -> None:
        waiting = self.ask("http://h/x", ("10.0.0.1", "fd00::1"))
        self.refuse()
        self.assertNoResult(waiting)
        self.assertEqual(self.connected_to(), [("10.0.0.1", 80), ("fd00::1", 80)])
        self.refuse()
        self.failureResultOf(waiting, ConnectionRefusedError)

    def test_no_address(self) -> None:
        self.failureResultOf(self.ask("http://h/x", ()), DNSLookupError)

    def test_tls_is_for_the_name_not_the_address(self) -> None:
        self.ask("https://h/x")
        self.assertEqual(self.connected_to(), [("10.0.0.1", 443)])
        self.assertEqual(self.tls.hosts, [(b"h", 443)])

    def test_cancelled_request_connects_no_more(self) -> None:
        waiting = self.ask("http://h/x", ("10.0.0.1", "10.0.0.2"))
        waiting.cancel()
        self.failureResultOf(waiting, ConnectingCancelledError)
        self.assertEqual(self.connected_to(), [("10.0.0.1", 80)])


class ResponseTests(PinnedTestCase):
    """What the guard lets through, and how connections end."""

    def setUp(self) -> None:
        super().setUp()
        self.response = self.ask("http://h/x")
        self.transport = self.connect()

    def say(self, *segments: bytes) -> None:
        """Send segments to the client."""
        for segment in segments:
            self.transport.protocol.dataReceived(segment)

    def body(self) -> Body:
        """The body of the response, which has come."""
        return Body.of(self.successResultOf(self.response))

    def test_whole_responses(self) -> None:
        self.say(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n", b"\r\nab")
        body = self.body()
        self.assertEqual(self.successResultOf(body.read()), b"ab")
        rest = body.read()
        self.assertNoResult(rest)
        self.say(b"cd")
        self.assertEqual(self.successResultOf(rest), b"cd")
        self.assertEqual(self.successResultOf(body.read()), b"")
        self.assertEqual(self.transport.ending, "closed")

    def test_interim_responses_have_heads_of_their_own(self) -> None:
        self.say(b"HTTP/1.1 103 Early Hints\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n")
        self.say(b"Content-Length: 2\r\n\r\nab")
        self.assertEqual(self.successResultOf(self.body().read()), b"ab")

    def test_chunked_responses(self) -> None:
        self.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        body = self.body()
        self.say(b"2\r\nab\r\n0\r\n\r\n")
        self.assertEqual(self.successResultOf(body.read()), b"ab")
        self.assertEqual(self.successResultOf(body.read()), b"")

    def test_response_without_length_ends_with_the_connection(self) -> None:
        self.say(b"HTTP/1.1 200 OK\r\n\r\nab")
        body = self.body()
        self.transport.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.successResultOf(body.read()), b"ab")
        self.assertEqual(self.successResultOf(body.read()), b"")

    def test_body_that_is_shorter_than_it_says_fails(self) -> None:
        self.say(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
        body = self.body()
        self.transport.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.successResultOf(body.read()), b"ab")
        self.failureResultOf(body.read(), ResponseFailed)

    def test_body_that_is_longer_than_it_says_fails(self) -> None:
        self.say(b"HTTP/1.1 200 OK\r\ncontent-length:\t4 \r\n\r\nabcdef")
        error = self.failureResultOf(self.response, ResponseFailed).value
        self.assertIn("Content-Length", str(error.reasons[0].value))
        self.assertEqual(self.transport.ending, "aborted")

    def test_body_that_grows_too_long_later_fails(self) -> None:
        self.say(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
        body = self.body()
        self.assertEqual(self.successResultOf(body.read()), b"ab")
        self.say(b"cdef")
        self.failureResultOf(body.read(), ResponseFailed)
        self.assertEqual(self.transport.ending, "aborted")

    def test_head_without_end_fails(self) -> None:
        self.say(b"HTTP/1.1 200 OK\r\n")
        line = b"X-Header: " + b"x" * 1000 + b"\r\n"
        self.say(*[line] * (LONGEST_HEAD // len(line)))
        self.assertNoResult(self.response)
        self.say(line)
        self.failureResultOf(self.response, ResponseFailed)
        self.assertEqual(self.transport.ending, "aborted")

    def test_body_that_nobody_wants_is_aborted(self) -> None:
        self.say(b"HTTP/1.1 302 Found\r\nContent-Length: 4\r\n\r\nab")
        body = self.body()
        body.close()
        self.assertEqual(self.transport.ending, "aborted")

    def test_reader_that_is_slow_pauses_the_connection(self) -> None:
        self.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        body = self.body()
        chunk = b"%x\r\n%s\r\n" % (MOST_WAITING // 2, b"x" * (MOST_WAITING // 2))
        self.say(chunk)
        self.assertEqual(self.transport.producerState, "producing")
        self.say(chunk)
        self.assertEqual(self.transport.producerState, "paused")
        self.assertEqual(len(self.successResultOf(body.read())), MOST_WAITING)
        self.assertEqual(self.transport.producerState, "producing")

    def test_reader_may_leave(self) -> None:
        self.say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        body = self.body()
        gone = body.read()
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        self.say(b"ab")
        self.assertEqual(self.successResultOf(body.read()), b"ab")

    def test_nothing_arrives_after_close(self) -> None:
        body = Body()
        body.close()
        body.dataReceived(b"a")
        body.connectionLost(Failure(ResponseDone()))
        self.assertEqual(self.successResultOf(body.read()), b"")
