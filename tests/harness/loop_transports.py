"""Connections on a loop's own transports: what is above them, and the client, in tests."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from unittest import TestCase

from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.python.failure import Failure

from modelserver.http1.asyncio_transport import HEAD_ROOM, LoopTransport

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


def transport_of(protocol: Protocol) -> LoopTransport:
    """Return the transport of a protocol that is connected."""
    assert isinstance(protocol.transport, LoopTransport)
    return protocol.transport


class LoopTransportCase(TestCase):
    """A connection on a loop that the test makes, with a recorder above the transport and a client."""

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
        self.head_room: memoryview | None = memoryview(bytearray(HEAD_ROOM))
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
