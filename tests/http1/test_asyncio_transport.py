"""Twisted's transport on the loops' own: both loops, real sockets, no port."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from unittest import TestCase, skipIf

from attrs import define, field
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IConsumer, IPushProducer, ITransport
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer
from zope.interface.verify import verifyObject

from modelserver.http1.asyncio_transport import HEAD_ROOM, LoopTransport
from tests.harness.event_loops import uvloop

LONGEST = 30.0
"""Seconds after which a wait has failed."""


class Recorder(Protocol):
    """Keeps what happens to it, and sets an event each time."""

    def __init__(self, change: asyncio.Event) -> None:
        self.change = change
        self.received = b""
        self.reasons: list[type[BaseException]] = []
        self.on_data: Callable[[bytes], object] = lambda data: None

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        self.on_data(data)
        self.change.set()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        assert reason.type is not None
        self.reasons.append(reason.type)
        self.change.set()


class Factory(ServerFactory):
    """Builds recorders, or nothing."""

    def __init__(self, change: asyncio.Event, admits: bool = True) -> None:
        self.change = change
        self.admits = admits
        self.built: list[Recorder] = []

    def buildProtocol(self, addr: object) -> Recorder | None:
        if not self.admits:
            return None
        self.built.append(Recorder(self.change))
        return self.built[-1]


@implementer(IPushProducer)
@define(eq=False)
class Producer:
    """Keeps what it is told."""

    told: list[str] = field(factory=list)

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")


@define(eq=False)
class Bucket:
    """A sink of a fixed size."""

    size: int
    content: bytearray = field(init=False)
    got: int = field(default=0, init=False)
    is_full: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.content = bytearray(self.size)

    def room(self) -> memoryview:
        return memoryview(self.content)[self.got :]

    def filled(self, size: int) -> bool:
        self.got += size
        return self.got < self.size

    def body_completed(self) -> None:
        self.is_full = True


def transport_of(protocol: Protocol) -> LoopTransport:
    """Return the transport of a protocol that is connected."""
    assert isinstance(protocol.transport, LoopTransport)
    return protocol.transport


class LoopTransportContract(TestCase):
    """What every loop's transport does for a Twisted protocol."""

    __test__ = False

    def new_loop(self) -> asyncio.AbstractEventLoop:
        raise NotImplementedError

    def setUp(self) -> None:
        self.loop = self.new_loop()
        self.addCleanup(self.loop.close)
        self.client, theirs = socket.socketpair()
        self.addCleanup(self.client.close)
        self.client.setblocking(False)
        self.change = asyncio.Event()
        self.head_room = memoryview(bytearray(HEAD_ROOM))
        self.factory = Factory(self.change)
        self.accept(theirs)
        (self.protocol,) = self.factory.built
        self.transport = transport_of(self.protocol)

    def accept(self, theirs: socket.socket, factory: Factory | None = None) -> None:
        """Let the loop have a connection."""
        chosen = factory or self.factory
        self.run_loop(
            self.loop.connect_accepted_socket(partial(LoopTransport, chosen, self.head_room), theirs)
        )

    def run_loop(self, awaitable: Awaitable[object]) -> object:
        return self.loop.run_until_complete(asyncio.wait_for(awaitable, LONGEST))

    def until(self, holds: Callable[[], object]) -> None:
        """Run the loop until something is so; whatever makes it so sets ``change``."""

        async def look() -> None:
            while not holds():
                self.change.clear()
                await self.change.wait()

        self.run_loop(look())

    def turn(self) -> None:
        """Run what is due."""

        async def nothing() -> None:
            for _ in range(5):
                await asyncio.sleep(0)

        self.run_loop(nothing())

    def receive_all(self) -> bytes:
        """What the client gets until the end."""

        async def read() -> bytes:
            data = b""
            while piece := await self.loop.sock_recv(self.client, 1 << 16):
                data += piece
            return data

        received = self.run_loop(read())
        assert isinstance(received, bytes)
        return received

    def test_it_is_what_it_says(self) -> None:
        for interface in (ITransport, IConsumer, IPushProducer):
            verifyObject(interface, self.transport)

    def test_data_comes_and_goes(self) -> None:
        self.protocol.on_data = self.transport.write
        self.client.send(b"echo")
        self.until(lambda: self.protocol.received)
        self.transport.writeSequence([b" and", b" more"])
        self.transport.loseConnection()
        self.assertEqual(b"echo and more", self.receive_all())

    def test_all_that_was_written_leaves_before_the_end(self) -> None:
        data = b"x" * 5_000_000
        self.transport.write(data)
        self.transport.write(memoryview(b"end"))
        self.assertGreater(self.transport.unsent(), 1_000_000)
        self.transport.loseConnection()
        self.assertEqual(data + b"end", self.receive_all())
        self.until(lambda: self.protocol.reasons)
        self.assertEqual([ConnectionDone], self.protocol.reasons)

    def test_sent_is_told_when_nothing_of_it_is_left(self) -> None:
        told: list[int] = []

        def sent() -> None:
            told.append(self.transport.unsent())
            self.change.set()

        self.transport.when_sent(sent)
        self.assertEqual([0], told)
        data = bytearray(b"x" * 5_000_000)
        for _ in range(2):
            self.transport.write(memoryview(data))
            self.transport.when_sent(sent)
        self.turn()
        self.assertEqual([0], told[:1])
        self.transport.loseConnection()
        self.receive_all()
        self.until(lambda: len(told) == 3)
        self.assertEqual([0, 0, 0], told)

    def test_sent_is_told_of_what_never_will_be(self) -> None:
        told: list[str] = []
        self.transport.write(b"x" * 5_000_000)
        self.transport.when_sent(lambda: told.append("gone"))
        self.assertEqual([], told)
        self.client.close()
        self.until(lambda: self.protocol.reasons)
        self.assertEqual(["gone"], told)

    def test_writing_end_alone_is_closed(self) -> None:
        self.transport.write(b"why")
        self.transport.loseWriteConnection()
        self.transport.loseWriteConnection()
        self.assertEqual(b"why", self.receive_all())
        self.client.send(b"still talking")
        self.until(lambda: self.protocol.received)
        self.assertEqual([], self.protocol.reasons)
        self.client.close()
        self.until(lambda: self.protocol.reasons)

    def test_abort_ends_at_once(self) -> None:
        self.transport.write(b"x" * 5_000_000)
        self.transport.abortConnection()
        self.until(lambda: self.protocol.reasons)
        self.assertTrue(self.transport.disconnecting)
        self.assertLess(len(self.receive_all()), 5_000_000)

    def test_client_that_leaves_is_reported_once(self) -> None:
        self.client.close()
        self.until(lambda: self.protocol.reasons)
        self.turn()
        self.assertEqual(1, len(self.protocol.reasons))
        self.transport.loseConnection()
        self.transport.abortConnection()
        self.transport.pauseProducing()
        self.transport.resumeProducing()
        self.transport.loseWriteConnection()
        self.turn()
        self.assertEqual(1, len(self.protocol.reasons))

    def test_client_that_leaves_unread_answers_is_a_loss(self) -> None:
        self.transport.write(b"x" * 5_000_000)
        self.client.close()
        self.until(lambda: self.protocol.reasons)
        self.assertIn(self.protocol.reasons, ([ConnectionLost], [ConnectionDone]))

    def test_reading_pauses(self) -> None:
        self.transport.pauseProducing()
        self.transport.pauseProducing()
        self.client.send(b"early")
        self.turn()
        self.assertEqual(b"", self.protocol.received)
        self.transport.resumeProducing()
        self.transport.resumeProducing()
        self.until(lambda: self.protocol.received == b"early")

    def test_push_producer_is_paused_while_the_client_does_not_read(self) -> None:
        producer = Producer()
        self.transport.registerProducer(producer, True)
        with self.assertRaises(RuntimeError):
            self.transport.registerProducer(Producer(), True)
        self.transport.write(b"x" * 5_000_000)
        self.turn()
        self.assertEqual(["pause"], producer.told)
        self.transport.unregisterProducer()
        self.transport.registerProducer(producer, True)
        self.transport.loseConnection()
        self.receive_all()
        self.until(lambda: self.protocol.reasons)
        self.assertEqual("stop", producer.told[-1])
        late = Producer()
        self.transport.registerProducer(late, True)
        self.assertEqual(["stop"], late.told)

    def test_push_producer_goes_on_when_the_client_has_read(self) -> None:
        producer = Producer()
        self.transport.registerProducer(producer, True)
        self.transport.write(b"x" * 5_000_000)

        async def read() -> None:
            while "resume" not in producer.told:
                await self.loop.sock_recv(self.client, 1 << 20)

        self.run_loop(read())
        self.assertEqual(["pause", "resume"], producer.told)

    def test_pull_producer_is_asked_at_once(self) -> None:
        producer = Producer()
        self.transport.registerProducer(producer, False)
        self.assertEqual(["resume"], producer.told)

    def test_sink_gets_its_bytes_and_the_protocol_the_rest(self) -> None:
        for size in (1, 100, 1_000_000):
            bucket = Bucket(size)
            self.protocol.received = b""
            self.transport.fill(bucket)
            data = bytes(place % 251 for place in range(size)) + b"rest"
            self.run_loop(self.loop.sock_sendall(self.client, data))
            self.until(lambda: self.protocol.received == b"rest")
            self.assertTrue(bucket.is_full)
            self.assertEqual(data[:size], bytes(bucket.content))

    def test_behind_a_sink_only_a_little_is_read_until_another_one_is_there(self) -> None:
        sizes: list[int] = []
        second = Bucket(200_000)

        def begin(data: bytes) -> None:
            sizes.append(len(data))
            if len(sizes) == 1:
                second.content[: len(data)] = data
                second.got = len(data)
                self.transport.fill(second)

        self.protocol.on_data = begin
        self.transport.fill(Bucket(100_000))
        data = bytes(place % 251 for place in range(200_000))
        self.run_loop(self.loop.sock_sendall(self.client, bytes(100_000) + data + b"rest"))
        self.until(lambda: sizes == [HEAD_ROOM, 4])
        self.assertEqual(data, bytes(second.content))

    def test_behind_the_head_of_a_small_request_all_is_read_again(self) -> None:
        self.transport.fill(Bucket(100))
        self.run_loop(self.loop.sock_sendall(self.client, bytes(100)))
        self.turn()
        sizes: list[int] = []
        self.protocol.on_data = lambda data: sizes.append(len(data))
        self.run_loop(self.loop.sock_sendall(self.client, b"small"))
        self.until(lambda: sizes)
        self.run_loop(self.loop.sock_sendall(self.client, bytes(100_000)))
        self.until(lambda: sum(sizes) == 100_005)
        self.assertGreater(max(sizes), HEAD_ROOM)

    def test_client_that_leaves_behind_a_sink_is_reported(self) -> None:
        self.transport.fill(Bucket(4))
        self.client.send(b"some")
        self.turn()
        self.client.close()
        self.until(lambda: self.protocol.reasons)

    def test_client_that_leaves_while_a_sink_is_filled_is_reported(self) -> None:
        self.transport.fill(Bucket(100))
        self.client.send(b"some")
        self.turn()
        self.client.close()
        self.until(lambda: self.protocol.reasons)

    def test_connection_that_is_not_wanted_is_closed(self) -> None:
        client, theirs = socket.socketpair()
        with client:
            client.setblocking(False)
            self.accept(theirs, Factory(self.change, admits=False))
            self.assertEqual(b"", self.run_loop(self.loop.sock_recv(client, 10)))

    def test_addresses(self) -> None:
        self.assertIsInstance(self.transport.getPeer(), UNIXAddress)
        self.assertFalse(self.transport.isSecure())
        with socket.create_server(("127.0.0.1", 0)) as server:
            client = socket.create_connection(server.getsockname())
            theirs, _ = server.accept()
            with client:
                factory = Factory(self.change)
                self.accept(theirs, factory)
                transport = transport_of(factory.built[0])
                self.assertEqual(IPv4Address("TCP", *client.getsockname()), transport.getPeer())
                self.assertEqual(IPv4Address("TCP", *server.getsockname()), transport.getHost())
                transport.abortConnection()
                self.turn()


class AsyncioTransportTests(LoopTransportContract):
    """On asyncio's loop."""

    __test__ = True

    def new_loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.SelectorEventLoop()


@skipIf(uvloop is None, "uvloop is not installed")
class UvloopTransportTests(LoopTransportContract):
    """On uvloop's."""

    __test__ = True

    def new_loop(self) -> asyncio.AbstractEventLoop:
        loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        return loop
