"""gRPC connections go without the garbage collector, however they end."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections import Counter
from unittest import TestCase, skipIf

from modelserver.http1.asyncio_transport import LoopTransport
from modelserver.protocol.shared_memory import SharedMemoryPool
from modelserver.rpc.call import ServerCall
from modelserver.rpc.connection import RpcConnection
from modelserver.rpc.engines.h2 import H2Engine
from modelserver.rpc.engines.ngh2 import Ngh2Engine
from modelserver.rpc.http2 import EngineMaker
from modelserver.rpc.large_bodies import LargeBodies
from modelserver.rpc.lifetime import Lifetime
from modelserver.rpc.reception import Reception
from tests.harness.event_loops import uvloop
from tests.harness.http2_client import Http2Client, message, raw_frame
from tests.harness.rpc import RpcStage

COUNTED = (H2Engine, LargeBodies, Lifetime, LoopTransport, Ngh2Engine, Reception, RpcConnection, ServerCall)
CLIENTS = 5


def hello(*calls: tuple[str, bytes, bool], more: bytes = b"") -> bytes:
    """What a client sends: for each call its method, its body, and whether that is all."""
    client = Http2Client()
    for method, body, ends in calls:
        client.data(client.request(method), body, ends)
    return client.output() + more


VISITS = {
    "nothing": b"",
    "a hello": hello(),
    "a call": hello(("Echo", message(b"a"), True)),
    "calls that are never answered": hello(("Keep", message(b"a"), True), ("Keep", message(b"b"), True)),
    "half a call": hello(("Echo", message(b"abc")[:6], False)),
    "half a stream": hello(("Talk", message(b"a"), False), ("Hear", message(b"a"), False)),
    "half a large call": hello(("Echo", message(bytes(300_000))[:30_000], False)),
    "a method that is not there": hello(("Nope", b"", True)),
    "a defect": hello(("Fail", message(b"a"), True)),
    "a large answer that is not read": hello(("Echo", message(bytes(60_000)), True)),
    "no HTTP/2": b"GET / HTTP/1.1\r\n\r\n" + bytes(100),
    "a bad frame": hello(("Keep", message(b"a"), True), more=raw_frame(6, 0, 0, bytes(7))),
    "its end": hello(("Echo", message(b"a"), True), more=raw_frame(7, 0, 0, bytes(8))),
    "pings": hello(("Keep", message(b"a"), True), more=raw_frame(6, 0, 0, bytes(8)) * 30),
}


class RpcCircleContract(TestCase):
    """The same on every loop, with every engine."""

    __test__ = False
    engines: tuple[EngineMaker, ...] = (Ngh2Engine, H2Engine)

    def new_loop(self) -> asyncio.AbstractEventLoop:
        raise NotImplementedError

    def setUp(self) -> None:
        self.loop = self.new_loop()
        self.addCleanup(self.loop.close)

    def visit(self, stage: RpcStage, sent: bytes) -> None:
        """Let a client come, send, and leave."""
        client, theirs = socket.socketpair()
        accepted = self.loop.connect_accepted_socket(lambda: LoopTransport(stage.factory), theirs)
        self.loop.run_until_complete(accepted)
        with client:
            client.sendall(sent)
            self.turn(stage)
        self.turn(stage)
        for kept in (stage.site.keep, stage.site.hear, stage.site.talk, stage.site.echo, stage.site.fail):
            kept.calls.clear()
        stage.site.failures.clear()

    def turn(self, stage: RpcStage) -> None:
        """Let what is due happen, in the loop and behind it."""

        async def turn() -> None:
            for _ in range(4):
                await asyncio.sleep(0)
                stage.turn()

        self.loop.run_until_complete(turn())

    def test_nothing_of_a_connection_is_left_to_the_collector(self) -> None:
        for maker in self.engines:
            slots = SharedMemoryPool(-1, 1 << 20, memoryview(bytearray(1 << 20)))
            stage = RpcStage(make_engine=maker, slots=slots)
            self.visit(stage, VISITS["a call"])
            gc.collect()
            before = counted()
            gc.disable()
            try:
                for name, sent in VISITS.items():
                    for _ in range(CLIENTS):
                        self.visit(stage, sent)
                    self.assertEqual(before, counted(), f"of clients who sent {name}")
                    self.assertEqual((set(), 1), (stage.connections.open, slots.free))
            finally:
                gc.enable()


def counted() -> Counter[str]:
    """How many there are of what a connection consists of."""
    return Counter(type(each).__name__ for each in gc.get_objects() if isinstance(each, COUNTED))


class AsyncioRpcCircleTests(RpcCircleContract):
    """On asyncio's loop."""

    __test__ = True

    def new_loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.SelectorEventLoop()


@skipIf(uvloop is None, "uvloop is not installed")
class UvloopRpcCircleTests(RpcCircleContract):
    """On uvloop's."""

    __test__ = True

    def new_loop(self) -> asyncio.AbstractEventLoop:
        loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        return loop
