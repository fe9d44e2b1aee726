"""Calls with streams of messages, and flow control both ways."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from modelserver.http1.body_memory import BodyMemory
from modelserver.rpc.call import LARGE
from modelserver.rpc.codes import Code
from modelserver.rpc.connection import QUEUE_HIGH
from modelserver.rpc.limits import RpcLimits
from modelserver.rpc.message_streams import UNREAD_HIGH
from tests.harness.http2_client import message
from tests.harness.rpc import RpcStage

PART = bytes(10_000)


class StreamTests(SynchronousTestCase):
    """Messages as they come."""

    def setUp(self) -> None:
        self.stage = RpcStage()
        self.site = self.stage.site
        self.client = self.stage.connect()
        self.http2 = self.client.http2

    def test_each_message_is_answered_as_it_comes(self) -> None:
        stream = self.http2.request("Talk")
        for number in range(3):
            self.http2.data(stream, message(b"%d" % number))
            self.client.pump()
            self.assertEqual(number + 1, len(self.http2.answers[stream].messages))
        self.http2.data(stream, b"", True)
        self.client.pump()
        answer = self.http2.answers[stream]
        self.assertEqual(([b"0", b"1", b"2"], 0, None), (answer.messages, answer.status, answer.reset))
        self.assertEqual([b"0", b"1", b"2", None], self.site.talk.messages)

    def test_messages_come_whole_however_the_bytes_are_cut(self) -> None:
        data = message(b"one") + message(b"") + message(b"three" * 1000)
        for size in (1, 3, 7, 4096, len(data)):
            with self.subTest(size):
                self.site.hear.messages.clear()
                stream = self.http2.request("Hear")
                for start in range(0, len(data), size):
                    self.http2.data(stream, data[start : start + size])
                self.http2.data(stream, b"", True)
                self.client.pump()
                self.assertEqual([b"one", b"", b"three" * 1000, None], self.site.hear.messages)

    def test_a_stream_of_answers_to_one_message(self) -> None:
        answer = self.client.ask("Keep")
        (call,) = self.site.keep.calls
        for number in range(3):
            self.assertTrue(call.send(b"%d" % number))
        self.client.pump()
        self.assertEqual(([b"0", b"1", b"2"], False), (answer.messages, answer.is_ended))
        call.reply(b"last")
        self.client.pump()
        self.assertEqual(([b"0", b"1", b"2", b"last"], 0), (answer.messages, answer.status))

    def test_messages_of_two_pieces_each(self) -> None:
        answer = self.client.ask("Keep")
        (call,) = self.site.keep.calls
        rests: list[bytes | bytearray | memoryview] = [b"one", memoryview(b"two"), b"three", bytes(LARGE)]
        for sent in (rests[:2], rests[:3], rests[2:]):
            call.send_behind(lambda size: b"%d:" % size, sent)
            self.client.pump()
        call.finish()
        self.client.pump()
        self.assertFalse(call.send_behind(lambda size: b"", rests), "it has ended")
        self.client.pump()
        first, third, last = [b"3:one", b"3:two"], b"5:three", b"%d:" % LARGE + bytes(LARGE)
        self.assertEqual(([*first, *first, third, third, last], 0), (answer.messages, answer.status))

    def test_a_stream_that_fails_half_way_has_its_status_in_the_trailers(self) -> None:
        answer = self.client.ask("Keep")
        (call,) = self.site.keep.calls
        call.send(b"part")
        call.finish(Code.UNAVAILABLE, "worker gone")
        self.client.pump()
        self.assertEqual((b"14", b"worker gone"), (answer.tail[b"grpc-status"], answer.tail[b"grpc-message"]))

    def test_an_answer_before_the_requests_end_stops_the_client_once_it_is_out(self) -> None:
        stream = self.http2.request("Hear")
        self.http2.data(stream, message(b"first"))
        self.client.pump()
        self.site.hear.calls[0].finish(Code.OUT_OF_RANGE, "enough")
        self.client.pump()
        answer = self.http2.answers[stream]
        self.assertEqual((11, 0, True), (answer.status, answer.reset, answer.is_ended))
        self.assertEqual({}, self.client.connection.reception.calls)

    def test_an_early_answer_that_waits_for_the_window_is_not_cut_off_by_a_reset(self) -> None:
        client = self.stage.connect()
        client.http2.takes = False
        stream = client.http2.request("Hear")
        client.pump()
        self.site.hear.calls[0].reply(bytes(100_000))
        client.pump()
        answer = client.http2.answers[stream]
        self.assertEqual((65_535, None), (len(answer.body), answer.reset))
        client.http2.connection.acknowledge_received_data(65_535, stream)
        client.pump()
        self.assertEqual((100_005, 0, 0), (len(answer.body), answer.status, answer.reset))


class FlowTests(SynchronousTestCase):
    """Neither side gets more than it takes."""

    def setUp(self) -> None:
        self.stage = RpcStage()
        self.site = self.stage.site
        self.client = self.stage.connect()
        self.http2 = self.client.http2

    def test_a_slow_client_holds_its_method_and_lets_it_go_on(self) -> None:
        resumed: list[int] = []
        self.http2.takes = False
        self.http2.connection.increment_flow_control_window(1 << 20)  # of all streams together
        stream = self.http2.request("Keep", message(b""))
        self.client.pump()
        (call,) = self.site.keep.calls
        call.on_resume = lambda: resumed.append(1)
        sent = 0
        while call.send(PART):
            sent += 1
            self.client.pump()
        self.assertLess(sent, (65_535 + QUEUE_HIGH) / len(PART) + 2)
        self.client.pump()
        self.assertEqual([], resumed)
        self.assertEqual(0, self.client.ask("Echo", b"").status, "others are served")
        self.http2.connection.acknowledge_received_data(65_535, stream)
        self.client.pump()
        self.assertEqual([1], resumed)
        self.assertTrue(call.send(b"more"))

    def test_a_method_that_is_held_is_cancelled_like_any_other(self) -> None:
        self.http2.takes = False
        stream = self.http2.request("Keep", message(b""))
        self.client.pump()
        (call,) = self.site.keep.calls
        call.on_resume = lambda: self.fail("nobody waits")
        while call.send(PART):
            self.client.pump()
        self.http2.connection.reset_stream(stream, 8)
        self.client.pump()
        self.assertEqual([Code.CANCELLED], self.site.keep.cancelled)
        self.assertEqual(0, self.client.connection.engine.queued())

    def test_a_client_that_reads_nothing_at_all_holds_methods_and_is_read_no_further(self) -> None:
        resumed: list[int] = []
        self.client.ask("Keep")
        (call,) = self.site.keep.calls
        call.on_resume = lambda: resumed.append(1)
        self.client.connection.pauseProducing()
        self.assertFalse(self.client.transport.is_reading)
        self.assertFalse(call.send(b"part"))
        self.stage.turn()
        self.assertEqual(b"", self.client.transport.value())
        self.client.connection.resumeProducing()
        self.assertEqual([1], resumed)
        self.client.pump()
        self.assertTrue(self.client.transport.is_reading)
        self.assertEqual([b"part"], self.http2.answers[1].messages)

    def test_a_method_that_takes_nothing_stops_its_client_and_no_other(self) -> None:
        stream = self.http2.request("Hear")
        window = self.http2.connection.local_flow_control_window(stream)
        sent = 0
        while self.http2.connection.local_flow_control_window(stream) > len(PART) + 5:
            self.http2.data(stream, message(PART))
            sent += len(PART)
            self.client.pump()
            self.assertLess(sent, 2 * window, "it is never stopped")
        self.assertGreater(sent, UNREAD_HIGH)
        self.assertEqual(0, self.client.ask("Echo", PART * 50).status)
        (call,) = self.site.hear.calls
        for _ in range(sent // len(PART)):
            call.consumed(len(PART))
        self.client.pump()
        self.assertGreater(self.http2.connection.local_flow_control_window(stream), window // 2)

    def test_windows_of_cancelled_calls_are_given_back(self) -> None:
        connection = self.http2.connection
        before = connection.outbound_flow_control_window
        for _ in range(30):
            stream = self.http2.request("Hear")
            while connection.local_flow_control_window(stream) > len(PART) + 5:
                self.http2.data(stream, message(PART))
                self.client.pump()
            connection.reset_stream(stream, 8)
            self.client.pump()
        self.assertGreater(connection.outbound_flow_control_window, before // 2)

    def test_windows_of_calls_that_were_refused_are_given_back(self) -> None:
        connection = self.http2.connection
        before = connection.outbound_flow_control_window
        for _ in range(30):
            stream = self.http2.request("Nope")
            self.http2.data(stream, bytes(1 << 20))  # all that may be on its way
            self.client.pump()
        self.assertGreater(connection.outbound_flow_control_window, before // 2)

    def test_answers_that_nobody_takes_are_bounded_and_then_calls_are_refused(self) -> None:
        self.stage = RpcStage(limits=evolve(RpcLimits(), unread=200_000))
        client = self.stage.connect()
        client.http2.takes = False
        statuses = [client.ask("Echo", bytes(60_000)).status for _ in range(10)]
        self.assertIn(8, statuses)
        self.assertLess(client.connection.unsent, 400_000)

    def test_memory_for_bodies_is_claimed_and_given_back(self) -> None:
        memory = BodyMemory(100_000)
        stage = RpcStage(memory=memory)
        client = stage.connect()
        first = client.http2.request("Keep")
        client.http2.data(first, message(bytes(80_000))[:70_000])
        client.pump()
        self.assertEqual(70_000, memory.used)
        second = client.http2.request("Keep")
        client.http2.data(second, message(bytes(80_000))[:40_000])
        client.pump()
        answer = client.http2.answers[second]
        self.assertEqual(8, answer.status)
        self.assertIn("request_memory", answer.text)
        client.http2.data(first, message(bytes(80_000))[70_000:], True)
        client.pump()
        self.assertEqual(80_005, memory.used, "until it is answered")
        stage.site.keep.calls[0].reply(b"")
        client.pump()
        self.assertEqual(0, memory.used)

    def test_messages_of_streams_that_are_not_whole_count_too(self) -> None:
        memory = BodyMemory(100_000)
        client = RpcStage(memory=memory).connect()
        first = client.http2.request("Talk")
        client.http2.data(first, message(bytes(60_000)) + message(bytes(80_000))[:30_000])
        client.pump()
        self.assertEqual(30_000 - 5, memory.used)
        second = client.http2.request("Hear")
        for _ in range(3):
            if not client.http2.answers[second].is_ended:
                client.http2.data(second, message(bytes(90_000))[:30_000])
                client.pump()
        self.assertEqual((8, 30_000 - 5), (client.http2.answers[second].status, memory.used))
        client.http2.data(first, message(bytes(80_000))[30_000:], True)
        client.pump()
        self.assertEqual(0, memory.used)

    def test_memory_of_a_client_that_leaves_is_given_back(self) -> None:
        memory = BodyMemory(100_000)
        client = RpcStage(memory=memory).connect()
        client.http2.data(client.http2.request("Keep"), message(bytes(80_000))[:70_000])
        client.pump()
        client.leave()
        self.assertEqual(0, memory.used)
