"""How connections of a listener begin, and what becomes of them when nobody listens any more."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from modelserver.rpc.codes import Code
from modelserver.rpc.lifetime import DRAINED
from tests.harness.http2_client import message, raw_frame
from tests.harness.rpc import RpcStage
from tests.harness.transports import MemoryTransport

PING, ACKNOWLEDGED = 6, 1


class HandshakingTransport(MemoryTransport):
    """As Twisted's TLS before its handshake: it cannot write, holds its producer, and has to read."""

    is_blocked = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        super().write(data)
        if not self.is_blocked:
            self.is_blocked = True
            assert self.producer is not None, "connections are"
            self.producer.pauseProducing()


class BeginTests(SynchronousTestCase):
    """A connection whose transport takes nothing at first."""

    def test_what_comes_is_read_all_the_same(self) -> None:
        stage, transport = RpcStage(), HandshakingTransport()
        client = stage.connect(transport=transport)
        self.assertTrue(transport.is_reading)
        client.connection.resumeProducing()
        client.pump()
        self.assertEqual(client.ask("Echo", b"hello").messages, [b"hello"])


class EndTests(SynchronousTestCase):
    """Nobody listens any more."""

    def setUp(self) -> None:
        self.stage = RpcStage()
        self.stage.factory.doStart()
        self.addCleanup(self.stage.factory._loop.stop)

    def test_clients_are_told_at_once_and_what_they_asked_is_answered(self) -> None:
        busy, resting = self.stage.connect(), self.stage.connect()
        busy.http2.request("Keep", message(b"x"))
        busy.pump()
        self.stage.factory.doStop()
        for client in (busy, resting):
            client.pump()
            self.assertTrue(client.http2.goaways)
            client.send(raw_frame(PING, ACKNOWLEDGED, 0, DRAINED))
        self.assertTrue(resting.is_ended)
        self.assertFalse(busy.is_ended)
        (call,) = self.stage.site.keep.calls
        call.reply(b"done")
        self.stage.turn()
        self.stage.turn()
        self.assertIn(b"done", busy.transport.value())
        self.assertTrue(busy.is_ended)
        self.assertEqual([code for _, code, _, _ in self.stage.site.over], [Code.OK])
