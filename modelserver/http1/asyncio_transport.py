"""Twisted protocols on asyncio's own transports: the loop does the reading and writing, not the reactor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from socket import SO_LINGER, SOL_SOCKET
from struct import pack
from typing import Protocol, cast

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IProducer,
    IProtocol,
    IPushProducer,
    ITransport,
)
from twisted.internet.protocol import ServerFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from modelserver.system.socket_queue import on_their_way

HEAD_ROOM = 16 * 1024
"""Bytes of the room for heads behind large bodies: of a body like it, no more than need be copied."""

_RESETS = pack("ii", 1, 0)
"""Lingers for no time at all: what ``close`` sends is a reset."""


class BodySink(Protocol):
    """What receives a large body straight from the socket."""

    def room(self) -> memoryview:
        """Where the next bytes go; never empty."""

    def filled(self, size: int) -> bool:
        """So many bytes have arrived; returns whether more are wanted."""

    def body_completed(self) -> None:
        """Everything is here, and the transport is as it was."""


@implementer(ITransport, IConsumer, IPushProducer)
class LoopTransport(asyncio.Protocol):
    """
    One connection: Twisted's transport above, asyncio's below.

    :param head_room: where heads behind large bodies are received; connections of one loop may share it, for
        nothing stays there. None: they are received as everything else.
    """

    disconnecting = False
    _producer: IProducer | None = None
    _streaming = True
    _joins = False
    """
    Whether pieces are joined: ``writelines`` of asyncio's own transports tells nobody that a client does not
    read, in Python 3.12.0 to 3.12.8 and 3.13.0 to 3.13.1 (CVE-2024-12254), and joins them in 3.11.
    """
    _when_sent: tuple[Callable[[], None], ...] = ()

    def __init__(self, factory: ServerFactory, head_room: memoryview | None = None) -> None:
        self._factory = factory
        self._head_room = head_room
        self._bodies: _LargeBodies | None = None

    # asyncio's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is here."""
        self._transport = cast(asyncio.Transport, transport)
        self._joins = type(transport).__module__.startswith("asyncio.")
        self._peer = _address(transport.get_extra_info("peername"))
        self._host = _address(transport.get_extra_info("sockname"))
        protocol = self._factory.buildProtocol(self._peer)
        if protocol is None:
            self._protocol: IProtocol | None = None
            self._transport.abort()
            return
        self._protocol = protocol
        # The loops cache these lookups: one call less for each piece of data.
        self.data_received = protocol.dataReceived  # type: ignore[method-assign]
        self.write = self._transport.write  # type: ignore[method-assign]
        protocol.makeConnection(self)
        self._transport.set_protocol(self)

    def data_received(self, data: bytes) -> None:
        """More bytes came."""

    def eof_received(self) -> bool:
        """The client will send no more: it counts as one that has left."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        self.disconnecting = True
        self._tell_sent()
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stopProducing()
        if self._protocol is not None:
            protocol, self._protocol = self._protocol, None
            # The cached methods would keep a circle alive until the garbage collector comes.
            del self.data_received, self.write
            self._bodies = None
            protocol.connectionLost(Failure(ConnectionLost() if exc else ConnectionDone()))

    def pause_writing(self) -> None:
        """The client does not read fast enough."""
        if self._producer is not None and self._streaming:
            cast(IPushProducer, self._producer).pauseProducing()

    def resume_writing(self) -> None:
        """The client has read."""
        if self._when_sent:
            self._transport.set_write_buffer_limits()
            self._tell_sent()
        if self._producer is not None:
            cast(IPushProducer, self._producer).resumeProducing()

    # Twisted's side.

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send; replaced by asyncio's own method once connected."""

    def writeSequence(self, data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Send all pieces, in one call."""
        if self._protocol is None:  # the client is gone: uvloop's own methods raise then
            return
        if self._joins:
            self._transport.write(b"".join(data))
        else:
            self._transport.writelines(list(data))

    def unsent(self) -> int:
        """Bytes that were written and not sent yet."""
        return self._transport.get_write_buffer_size()

    def untaken(self) -> int:
        """Bytes that were written and that the client's system has not taken yet."""
        socket = self._transport.get_extra_info("socket")
        return self.unsent() + (0 if socket is None else on_their_way(socket.fileno()))

    def when_sent(self, call: Callable[[], None]) -> None:
        """Call once all that was written has been sent, or never will be: it is not read any more."""
        if self._protocol is not None and self._transport.get_write_buffer_size():
            self._when_sent += (call,)
            self._transport.set_write_buffer_limits(0)  # to be told when there is nothing left
        else:
            call()

    def _tell_sent(self) -> None:
        calls, self._when_sent = self._when_sent, ()
        for call in calls:
            call()

    def loseConnection(self) -> None:
        """Close when everything is written."""
        self.disconnecting = True
        if not self._transport.is_closing():  # closed twice, asyncio's TLS cannot be asked any more
            self._transport.close()

    def loseWriteConnection(self) -> None:
        """Send no more, still read."""
        transport = self._transport
        if transport.can_write_eof() and not transport.is_closing():
            try:
                transport.write_eof()
            except OSError:  # the client has reset the connection, and nobody has read that yet
                transport.abort()

    def abortConnection(self) -> None:
        """Close now."""
        self.disconnecting = True
        self._transport.abort()

    def cut_off(self) -> None:
        """Close now, so that the client takes what it has got for no whole answer: by a reset."""
        socket = self._transport.get_extra_info("socket")
        if socket is not None and not self._transport.is_closing():
            socket.setsockopt(SOL_SOCKET, SO_LINGER, _RESETS)
        self.abortConnection()

    def getPeer(self) -> IAddress:
        """Who is there."""
        return self._peer

    def getHost(self) -> IAddress:
        """Where they connected to."""
        return self._host

    def isSecure(self) -> bool:
        """Whether TLS is in between."""
        return self._transport.get_extra_info("sslcontext") is not None

    def setTcpNoDelay(self, enabled: bool) -> None:
        """asyncio has set it."""

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """``producer`` wants to know when to pause."""
        if self._producer is not None:
            raise RuntimeError("a producer is registered already")
        if self.disconnecting and self._protocol is None:
            producer.stopProducing()
            return
        self._producer, self._streaming = producer, streaming
        if not streaming:
            cast(IPushProducer, producer).resumeProducing()

    def unregisterProducer(self) -> None:
        """Nobody wants to know any more."""
        self._producer = None

    def pauseProducing(self) -> None:
        """Read no more until ``resumeProducing``."""
        if not self._transport.is_closing() and self._transport.is_reading():
            self._transport.pause_reading()

    def resumeProducing(self) -> None:
        """Read again."""
        if not self._transport.is_closing() and not self._transport.is_reading():
            self._transport.resume_reading()

    def stopProducing(self) -> None:
        """Close."""
        self.loseConnection()

    def fill(self, sink: BodySink) -> None:
        """Receive straight into ``sink`` until it wants no more."""
        bodies = self._bodies
        if bodies is None:
            bodies = self._bodies = _LargeBodies(self, self._head_room)
        bodies.sink = sink
        if not bodies.is_receiving:
            bodies.is_receiving = True
            self._transport.set_protocol(bodies)

    def read_plainly(self) -> None:
        """Read as much as there is."""
        self._transport.set_protocol(self)


class _LargeBodies(asyncio.BufferedProtocol):
    """
    Stands in for a LoopTransport from one large body on, as long as others follow.

    A body is received where it will be used, and the head behind it with a little of what follows: the loop
    would read up to 256 kB, which would be copied twice before they are where they are used. The loop's
    protocol stays the same from one body to the next: each change makes the loop stop and start to read.

    :param room: where heads are received; None: the transport receives them.
    :ivar sink: what the next bytes are for; None: a head is next.
    :ivar is_receiving: whether the loop gives this object what comes.
    """

    def __init__(self, owner: LoopTransport, room: memoryview | None) -> None:
        self.sink: BodySink | None = None
        self.is_receiving = False
        self._owner, self._room = owner, room
        self.connection_lost = owner.connection_lost  # type: ignore[method-assign]
        self.pause_writing = owner.pause_writing  # type: ignore[method-assign]
        self.resume_writing = owner.resume_writing  # type: ignore[method-assign]
        self.eof_received = owner.eof_received  # type: ignore[method-assign]

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        if self.sink is not None:
            return self.sink.room()
        assert self._room is not None, "without room for heads, it leaves behind each body"
        return self._room

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes have come."""
        sink = self.sink
        if sink is None:
            assert self._room is not None
            self._owner.data_received(bytes(self._room[:nbytes]))
            if self.sink is None:
                self._leave()
        elif not sink.filled(nbytes):
            self.sink = None
            if self._room is None:
                self._leave()
            sink.body_completed()

    def _leave(self) -> None:
        self.is_receiving = False
        self._owner.read_plainly()


def _address(name: object) -> IAddress:
    if isinstance(name, tuple):
        kind = IPv6Address if len(name) == 4 else IPv4Address
        return cast(IAddress, kind("TCP", *name[:2]))
    return cast(IAddress, UNIXAddress(name if isinstance(name, (str, bytes)) and name else None))
