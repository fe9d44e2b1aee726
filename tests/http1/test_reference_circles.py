"""Connections go without the garbage collector, however they end: thousands of refusals leave nothing."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections import Counter
from unittest import TestCase, skipIf

from attrs import frozen

from modelserver.http1.asyncio_transport import LoopTransport
from modelserver.http1.body_reader import BodyReader
from modelserver.http1.connection import Connection
from modelserver.http1.exchange import Exchange
from modelserver.http1.limits import ListenerConnections
from modelserver.jobs import Job
from modelserver.protocol.shared_memory import LARGE, SharedMemoryPool
from modelserver.rest.inference.front import InferenceSettings
from tests.harness.connections import ConnectionStage
from tests.harness.event_loops import uvloop
from tests.harness.requests import CHUNKED, HOT, PING, H

COUNTED = (BodyReader, Connection, Exchange, Job, LoopTransport)
CLIENTS = 5


@frozen
class Visit:
    """
    What a client sends before it leaves.

    :param is_answered: the worker answers, and the client is still there.
    :param is_over_limit: the listener has as many connections as it may.
    """

    name: str
    sent: bytes
    is_answered: bool = True
    is_over_limit: bool = False


VISITS = (
    Visit("nothing", b""),
    Visit("nothing, over the limit", b"", is_over_limit=True),
    Visit("a ping", PING),
    Visit("a prediction", HOT),
    Visit("a prediction, over the limit", HOT, is_over_limit=True),
    Visit("a prediction, and leaves before its answer", HOT, is_answered=False),
    Visit("half a head", HOT[:20]),
    Visit("half a body", H + b"Content-Length: 9\r\n\r\nabc"),
    Visit("half a large body", H + b"Content-Length: %d\r\n\r\nabc" % LARGE),
    Visit("no HTTP", b"GARBAGE\r\n\r\n"),
    Visit("a model that is not there", PING.replace(b"ping", b"predictions/none")),
    Visit("a body that is too large", H + b"Content-Length: 999999999\r\n\r\nabc"),
    Visit("what Twisted Web answers", PING.replace(b"ping", b"nothing")),
    Visit("chunks", CHUNKED + b"3\r\nabc\r\n0\r\n\r\n"),
    Visit("chunks, and leaves before the answer", CHUNKED + b"3\r\nabc\r\n0\r\n\r\n", is_answered=False),
    Visit("half of its chunks", CHUNKED + b"3\r\nabc\r\n"),
    Visit("chunks that are none", CHUNKED + b"zz\r\n"),
)


class CircleContract(TestCase):
    """The same on every loop."""

    __test__ = False

    def new_loop(self) -> asyncio.AbstractEventLoop:
        raise NotImplementedError

    def setUp(self) -> None:
        self.loop = self.new_loop()
        self.addCleanup(self.loop.close)
        slots = SharedMemoryPool(-1, LARGE, memoryview(bytearray(2 * LARGE)))
        self.stage = ConnectionStage(settings=InferenceSettings(2 * LARGE), slots=slots)
        self.limits = ListenerConnections(self.stage.connections, limit=1)
        self.stage.listener.connections = self.limits

    def visit(self, visit: Visit) -> None:
        """Let a client come, send, and leave."""
        client, theirs = socket.socketpair()
        self.limits.limit = 1 if visit.is_over_limit else 0
        accepted = self.loop.connect_accepted_socket(lambda: LoopTransport(self.stage.factory), theirs)
        self.loop.run_until_complete(accepted)
        with client:
            client.sendall(visit.sent)
            self.turn(visit.is_answered)
        self.turn(visit.is_answered)
        self.stage.settle()

    def turn(self, answers: bool) -> None:
        """Let what is due happen, in the loop and behind it."""

        async def turn() -> None:
            for _ in range(4):
                await asyncio.sleep(0)
                self.stage.turn()
                if answers:
                    self.stage.settle()

        self.loop.run_until_complete(turn())

    def test_nothing_of_a_connection_is_left_to_the_collector(self) -> None:
        first = Visit("first", PING)
        self.visit(first)
        keeper, theirs = socket.socketpair()
        self.addCleanup(keeper.close)
        accepted = self.loop.connect_accepted_socket(lambda: LoopTransport(self.stage.factory), theirs)
        self.loop.run_until_complete(accepted)
        gc.collect()
        before = counted()
        self.assertGreater(before["Connection"], 0)
        gc.disable()
        self.addCleanup(gc.enable)
        for visit in VISITS:
            for _ in range(CLIENTS):
                self.visit(visit)
            self.assertEqual(before, counted(), f"of clients who sent {visit.name}")


def counted() -> Counter[str]:
    """How many there are of what a connection consists of."""
    return Counter(type(each).__name__ for each in gc.get_objects() if isinstance(each, COUNTED))


class AsyncioCircleTests(CircleContract):
    """On asyncio's loop."""

    __test__ = True

    def new_loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.SelectorEventLoop()


@skipIf(uvloop is None, "uvloop is not installed")
class UvloopCircleTests(CircleContract):
    """On uvloop's."""

    __test__ = True

    def new_loop(self) -> asyncio.AbstractEventLoop:
        loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        return loop
