"""Streams of many messages: over several turns, in order, as fast as their method takes them."""

from __future__ import annotations

from unittest import TestCase

from modelserver.rpc.call import FRAMED
from modelserver.rpc.codes import Code
from modelserver.rpc.connection import QUEUE_HIGH
from modelserver.rpc.interfaces import Call
from modelserver.rpc.message_streams import MOST_MESSAGES, UNREAD_HIGH
from tests.harness.http2_client import message, raw_frame
from tests.harness.rpc import RpcStage

RESET = 3
MANY = 4 * MOST_MESSAGES
NUMBERED = [b"%d" % number for number in range(MANY)]
BODY = b"".join(map(message, NUMBERED))
"""More than one turn reads, and few enough bytes to come at once."""
NOW = b"now"


def _take_at_once(call: Call, told: bytes | None) -> None:
    """Take one message as soon as it comes, as services do that refuse one; the others are left unread."""
    if told == NOW:
        call.consumed(len(NOW))


class MessageStreamsTests(TestCase):
    """One connection, with a call of many messages."""

    def setUp(self) -> None:
        self.stage = RpcStage()
        self.client = self.stage.connect()

    def test_all_come_in_order_and_then_the_end(self) -> None:
        stream = self.client.http2.request("Talk", BODY)
        self.client.pump()
        answer = self.client.http2.answers[stream]
        self.assertEqual((0, NUMBERED), (answer.status, answer.messages))
        self.assertEqual(0, self.stage.memory.used)

    def test_two_streams_take_turns(self) -> None:
        streams = [self.client.http2.request("Talk", BODY) for _ in range(2)]
        self.client.connection.dataReceived(self.client.http2.output())
        self.assertEqual(MOST_MESSAGES, len(self.stage.site.talk.messages))
        self.client.pump()
        for stream in streams:
            self.assertEqual(NUMBERED, self.client.http2.answers[stream].messages)

    def test_client_that_takes_its_answers_again_gets_no_more_turns_than_others(self) -> None:
        hear, client = self.stage.site.hear, self.client
        waiting: list[bytes | None] = []

        def answer(call: Call, message: bytes | None) -> None:
            if not waiting:
                call.on_resume = lambda: call.consumed(0, len(waiting))
                call.send(bytes(QUEUE_HIGH * 4))  # more than the client's windows take
            waiting.append(message)

        hear.answers = answer
        client.http2.takes = False
        stream = client.http2.request("Hear", message(b"") * 3000)
        client.pump()
        told = len(hear.messages)
        for opened in (None, stream):
            client.http2.connection.increment_flow_control_window(QUEUE_HIGH * 4, opened)
        client.connection.dataReceived(client.http2.output())
        self.assertEqual(1, len(self.stage.soon))
        self.stage.turn()
        self.assertEqual(MOST_MESSAGES, len(hear.messages) - told)

    def test_what_is_left_of_a_cancelled_one_is_not_read(self) -> None:
        stream = self.client.http2.request("Hear")
        self.client.http2.data(stream, BODY)
        self.client.connection.dataReceived(self.client.http2.output())
        self.client.send(raw_frame(RESET, 0, stream, b"\0\0\0\x08"))
        self.assertEqual([Code.CANCELLED], self.stage.site.hear.cancelled)
        self.assertEqual(0, self.stage.memory.used)
        self.assertEqual(b"after", self.client.ask("Echo", b"after").messages[0])

    def test_method_is_told_the_rest_and_the_end_when_it_has_taken_what_it_has(self) -> None:
        hear = self.stage.site.hear
        most = UNREAD_HIGH // FRAMED + 1
        stream = self.client.http2.request("Hear", message(b"") * 3000)
        for told in (most, 2 * most):
            self.client.pump()
            self.assertEqual(told, len(hear.messages))
            hear.calls[0].consumed(0, most)
        self.client.pump()
        self.assertEqual([b""] * 3000 + [None], hear.messages)
        hear.calls[0].finish()
        self.client.pump()
        self.assertEqual(0, self.client.http2.answers[stream].status)

    def test_what_waits_behind_a_message_taken_at_once_comes_when_the_method_takes_more(self) -> None:
        hear = self.stage.site.hear
        hear.answers = _take_at_once
        most = UNREAD_HIGH // FRAMED + 1
        told = [NOW] + [b""] * 2 * most
        self.client.http2.request("Hear", b"".join(map(message, told)))
        self.client.pump()
        self.assertEqual(1 + most, len(hear.messages))
        hear.calls[0].consumed(0, most)
        self.client.pump()
        self.assertEqual([*told, None], hear.messages)

    def test_a_message_that_is_taken_at_once_opens_no_window_for_those_that_wait(self) -> None:
        hear, http2 = self.stage.site.hear, self.client.http2
        hear.answers = _take_at_once
        stream, size = http2.request("Hear"), 10_000
        largest = http2.connection.local_flow_control_window(stream)
        for _ in range(40):
            while http2.connection.local_flow_control_window(stream) > 2 * size:
                http2.data(stream, message(NOW) + message(bytes(size)))
                self.client.pump()
            hear.calls[0].consumed(size)
            self.client.pump()
        self.assertLess(self.stage.memory.used, 2 * largest)

    def test_client_that_leaves_takes_the_rest_along(self) -> None:
        self.client.http2.request("Talk", BODY)
        self.client.connection.dataReceived(self.client.http2.output())
        self.client.leave()
        while self.stage.soon:
            self.stage.turn()
        self.assertEqual(MOST_MESSAGES, len(self.stage.site.talk.messages))
        self.assertEqual(0, self.stage.memory.used)

    def test_rest_that_is_no_message_ends_the_call(self) -> None:
        stream = self.client.http2.request("Talk", BODY + b"\x07" + bytes(10))
        self.client.pump()
        answer = self.client.http2.answers[stream]
        self.assertEqual((3, NUMBERED), (answer.status, answer.messages))
