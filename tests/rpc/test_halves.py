"""Calls that come together reach the worker in two halves: it begins while the second one is read."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from modelserver.rpc.engines.h2 import H2Engine
from modelserver.rpc.engines.ngh2 import Ngh2Engine
from modelserver.rpc.http2 import EngineMaker
from modelserver.rpc.intake import SEVERAL, STEP
from tests.harness.http2_client import message
from tests.harness.rpc import RpcClient, RpcStage

CALLS = 8
BODY = b"x" * 200


class Ngh2HalvesTests(SynchronousTestCase):
    """By libnghttp2."""

    @staticmethod
    def maker() -> EngineMaker:
        """The engine's class."""
        return Ngh2Engine

    def setUp(self) -> None:
        self.stage = RpcStage(make_engine=self.maker())
        self.client: RpcClient = self.stage.connect()
        self.keep = self.stage.site.keep

    def calls(self, count: int = CALLS, body: bytes = BODY) -> bytes:
        """So many calls, as they come."""
        for _ in range(count):
            self.client.http2.request("Keep", message(body))
        return self.client.http2.output()

    def receive(self, data: bytes) -> list[int]:
        """Receive something; how many calls had come before each turn of the event loop."""
        self.client.connection.dataReceived(data)
        counts = [len(self.keep.calls)]
        while self.stage.soon:
            self.stage.turn()
            counts.append(len(self.keep.calls))
        return counts

    def test_a_half_comes_in_the_next_turn(self) -> None:
        self.receive(self.calls(1))
        self.keep.calls.pop().reply(b"")
        self.client.pump()
        self.assertEqual([CALLS // 2, CALLS], self.receive(self.calls())[:2])

    def test_while_some_are_in_hand_all_come_at_once(self) -> None:
        self.receive(self.calls(1))
        self.assertEqual(1 + CALLS, self.receive(self.calls())[0])

    def test_where_answers_have_come_in_parts_all_come_at_once(self) -> None:
        self.receive(self.calls(1))
        call = self.keep.calls.pop()
        call.send(b"part")
        call.reply(b"")
        self.client.pump()
        self.assertEqual(CALLS, self.receive(self.calls())[0])

    def test_few_come_at_once(self) -> None:
        self.receive(self.calls(1, b""))
        self.keep.calls.pop().reply(b"")
        self.client.pump()
        few = self.calls(3, b"x")
        self.assertLess(len(few), SEVERAL)
        self.assertEqual(3, self.receive(few)[0])

    def test_what_comes_behind_a_half_stays_behind_it(self) -> None:
        data = self.calls() + self.calls()
        cut = len(data) - 100  # within a frame
        self.client.connection.dataReceived(data[:cut])
        begun = len(self.keep.calls)
        self.assertLess(begun, CALLS + 2)
        self.client.connection.dataReceived(data[cut:])
        self.assertEqual(begun, len(self.keep.calls))
        self.assertTrue(self.client.transport.is_reading)
        self.stage.turn()
        self.client.pump()
        self.assertEqual(2 * CALLS, len(self.keep.calls))
        for call in self.keep.calls:
            call.reply(b"done")
        self.client.pump()
        answers = self.client.http2.answers.values()
        self.assertEqual([[b"done"]] * 2 * CALLS, [each.messages for each in answers if each.is_ended])

    def test_a_client_that_sends_much_meanwhile_is_not_read(self) -> None:
        self.client.connection.dataReceived(self.calls())
        self.client.connection.dataReceived(b"\0" * (STEP + 1))
        self.assertFalse(self.client.transport.is_reading)


class H2HalvesTests(Ngh2HalvesTests):
    """By h2."""

    @staticmethod
    def maker() -> EngineMaker:
        """The engine's class."""
        return H2Engine
