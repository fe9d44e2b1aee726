"""Twisted's transport on the loops' own: both loops, real sockets, no port."""

from __future__ import annotations

import asyncio
import socket
from asyncio import Transport
from errno import ENOTCONN
from struct import unpack
from unittest import skipIf
from unittest.mock import Mock

from attrs import define, field
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IConsumer, IPushProducer, ITransport
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.harness.event_loops import uvloop
from tests.harness.loop_transports import Factory, LoopTransportCase, transport_of


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


class LoopTransportContract(LoopTransportCase):
    """What every loop's transport does for a Twisted protocol."""

    __test__ = False

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

    def test_what_the_system_has_taken_is_still_not_taken_by_the_client(self) -> None:
        self.transport.write(b"x" * 10_000)
        self.assertEqual(0, self.transport.unsent())
        self.assertGreaterEqual(self.transport.untaken(), 10_000)
        self.transport.loseWriteConnection()
        self.receive_all()
        self.assertEqual(0, self.transport.untaken())

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

    def test_what_is_written_after_the_end_is_nobodys(self) -> None:
        told: list[str] = []
        self.client.close()
        self.until(lambda: self.protocol.reasons)
        self.turn()
        self.transport.writeSequence([b"too", memoryview(b"late")])
        self.transport.when_sent(lambda: told.append("gone"))
        self.assertEqual(["gone"], told)

    def test_answer_that_is_cut_off_ends_by_a_reset(self) -> None:
        theirs = self.transport._transport.get_extra_info("socket")
        self.transport.cut_off()
        self.assertEqual((1, 0), unpack("ii", theirs.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)))
        self.until(lambda: self.protocol.reasons)
        self.transport.cut_off()

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

    def test_end_of_writing_to_a_client_who_has_reset_is_the_end(self) -> None:
        """asyncio's own shuts the socket down at once, which fails then."""
        gone = Mock(Transport)
        gone.is_closing.return_value = False
        gone.write_eof.side_effect = OSError(ENOTCONN, "not connected")
        before, self.transport._transport = self.transport._transport, gone
        self.transport.loseWriteConnection()
        gone.abort.assert_called_once_with()
        self.transport._transport = before

    def test_one_whose_end_is_on_its_way_is_not_closed_again(self) -> None:
        """TLS of asyncio's own would forget what it is of, and fail whoever asks it for anything then."""
        ending = Mock(Transport)
        ending.is_closing.return_value = True
        before, self.transport._transport = self.transport._transport, ending
        self.transport.loseConnection()
        ending.close.assert_not_called()
        self.transport._transport = before

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

    def test_pieces_that_the_client_does_not_read_pause_a_producer(self) -> None:
        producer = Producer()
        self.transport.registerProducer(producer, True)
        self.transport.writeSequence([b"x" * 1_000_000] * 5)
        self.turn()
        self.assertEqual(["pause"], producer.told)

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
