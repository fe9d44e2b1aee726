"""What tests of bodies that go past the HTTP/2 engine watch it by."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from twisted.trial.unittest import SynchronousTestCase

from modelserver.protocol.shared_memory import SharedMemoryPool
from modelserver.rpc.engines.ngh2 import Ngh2Engine
from modelserver.rpc.http2 import EngineMaker, Http2Engine, Http2Events, Http2Limits
from modelserver.rpc.large_message import LARGE
from tests.harness.http2_client import Pairs
from tests.harness.rpc import RpcStage
from tests.harness.transports import MemoryTransport

SLOTS = 3
BODY = bytes(range(256)) * (LARGE // 256 + 4)
HUGE = BODY * -(-(1 << 20) // len(BODY))
"""More than the window of a stream."""


@define(eq=False)
class CountingMaker:
    """
    Makes engines, and counts the bytes that they are given.

    :param make: the engine's class.
    """

    make: EngineMaker = Ngh2Engine
    seen: int = field(default=0, init=False)

    def __call__(self, events: Http2Events, limits: Http2Limits) -> Http2Engine:
        """Make one."""
        engine = self.make(events, limits)
        receive = engine.receive

        def count(data: bytes | memoryview) -> int:
            self.seen += len(data)
            return receive(data)

        engine.receive = count  # type: ignore[method-assign]  # what goes by it is what the test is about
        return engine


def slots_of(size: int) -> SharedMemoryPool:
    """Slots in ordinary memory."""
    return SharedMemoryPool(-1, size, memoryview(bytearray(SLOTS * size)))


class IntakeTestCase(SynchronousTestCase):
    """A listener with slots, whose engine is watched."""

    make_transport: type[MemoryTransport] = MemoryTransport

    def setUp(self) -> None:
        self.maker = CountingMaker()
        self.slots = slots_of(2 * LARGE)
        self.stage = self.stage_with(self.slots)
        self.site = self.stage.site
        self.client = self.stage.connect()

    def stage_with(self, slots: SharedMemoryPool, **more: Any) -> RpcStage:
        """Return a listener with slots."""
        return RpcStage(make_engine=self.maker, slots=slots, make_transport=self.make_transport, **more)

    def send(self, body: bytes, more: Pairs = ()) -> int:
        """A call, in pieces of several frames."""
        client = self.client
        stream = client.http2.request("Echo", more=more)
        pieces = [body[start : start + 50_000] for start in range(0, len(body), 50_000)]
        for piece in (*pieces, b""):
            if not client.http2.answers[stream].is_ended:
                client.http2.data(stream, piece, not piece)
                client.pump()
        return stream
