"""Calls over one connection: what methods get, and what clients get back."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from modelserver.errors import ModelNotFound
from modelserver.rpc.codes import Code
from tests.harness.http2_client import HEADERS, PATH, message
from tests.harness.rpc import RpcStage


class UnaryTests(SynchronousTestCase):
    """Calls with one message and one answer."""

    def setUp(self) -> None:
        self.stage = RpcStage()
        self.site = self.stage.site
        self.client = self.stage.connect()

    def test_one_is_answered_at_once_in_one_write(self) -> None:
        stream = self.client.http2.request("Echo", message(b"hello"))
        self.client.connection.dataReceived(self.client.http2.output())
        self.assertTrue(self.client.transport.value())
        self.assertFalse(self.stage.soon)
        self.client.pump()
        answer = self.client.http2.answers[stream]
        self.assertEqual(([b"hello"], 0, True), (answer.messages, answer.status, answer.is_ended))
        self.assertEqual(b"application/grpc", answer.head[b"content-type"])

    def test_one_is_answered_later_and_all_of_a_turn_leave_together(self) -> None:
        streams = [self.client.http2.request("Keep", message(b"%d" % number)) for number in range(5)]
        self.client.pump()
        for call in self.site.keep.calls:
            call.reply(b"later")
        self.assertEqual(1, len(self.stage.soon))
        self.client.pump()
        self.assertEqual([[b"later"]] * 5, [self.client.http2.answers[each].messages for each in streams])

    def test_what_a_method_is_told_of_its_call(self) -> None:
        self.stage.clock.advance(5.0)
        more = [(b"x-a", b"1"), (b"x-a", b"2"), (b"x-bin", b"AAE"), (b"grpc-timeout", b"2S")]
        self.client.ask("Keep", more=more)
        (call,) = self.site.keep.calls
        self.assertEqual((PATH + "Keep", "/192.0.2.1:54321"), (call.method, call.peer))
        self.assertEqual(("127.0.0.1:7070", False), (call.authority, call.secure))
        self.assertEqual((1005.0, 1007.0), (call.arrived, call.deadline))
        own = [("x-a", "1"), ("x-a", "2"), ("x-bin", b"\0\x01")]
        self.assertEqual([("user-agent", "grpc-test"), *own], call.metadata)
        self.assertEqual(b"user-agent: grpc-test\r\nx-a: 1\r\nx-a: 2\r\nx-bin: AAE\r\n", call.header_block)
        self.assertEqual((b"2", None), (call.field(b"x-a"), call.field(b"x-b")))

    def test_metadata_and_the_request_id_go_with_the_answer(self) -> None:
        stream = self.client.http2.request("Keep", message(b""))
        self.client.pump()
        (call,) = self.site.keep.calls
        call.request_id = bytes(range(16))
        call.initial = [("x-first", "1")]
        call.trailing = [("x-last-bin", b"\xff")]
        call.reply(b"done")
        self.client.pump()
        answer = self.client.http2.answers[stream]
        self.assertEqual(b"00010203-0405-0607-0809-0a0b0c0d0e0f", answer.head[b"x-request-id"])
        self.assertEqual((b"1", b"/w"), (answer.head[b"x-first"], answer.tail[b"x-last-bin"]))

    def test_metadata_that_http2_cannot_carry_are_left_out(self) -> None:
        stream = self.client.http2.request("Keep", message(b""))
        self.client.pump()
        self.site.keep.calls[0].trailing = [
            ("x ok", "1"),
            ("grpc-status", "0"),
            ("x-a", "a\nb"),
            ("x-b", "2"),
        ]
        self.site.keep.calls[0].finish(Code.ABORTED)
        self.client.pump()
        head = self.client.http2.answers[stream].head
        self.assertEqual(
            {b"x-b": b"2", b"grpc-status": b"10"}, {k: head[k] for k in (b"x-b", b"grpc-status")}
        )
        self.assertNotIn(b"x-a", head)

    def test_an_error_is_an_answer_of_one_block(self) -> None:
        self.client.ask("Keep")
        self.site.keep.calls[0].finish(Code.NOT_FOUND, "no ünit\nhere", [("x-why", "because")])
        self.client.pump()
        (answer,) = [each for each in self.client.http2.answers.values() if each.head]
        self.assertEqual((5, "no %C3%BCnit%0Ahere", b""), (answer.status, answer.text, answer.body))
        self.assertEqual(b"because", answer.head[b"x-why"])

    def test_errors_end_a_call_as_the_site_says(self) -> None:
        self.client.ask("Keep")
        self.site.keep.calls[0].fail(ModelNotFound("m"))
        self.client.pump()
        (answer,) = [each for each in self.client.http2.answers.values() if each.head]
        self.assertEqual((3, "Model not found: m"), (answer.status, answer.text))

    def test_a_defect_is_logged_and_told_without_its_words(self) -> None:
        answer = self.client.ask("Fail")
        self.assertEqual(13, answer.status)
        self.assertNotIn("defect", answer.text)
        self.assertEqual(1, len(self.site.failures))
        self.assertEqual(0, self.client.ask("Echo").status)

    def test_access_is_decided_before_the_method_sees_anything(self) -> None:
        self.site.denied.add(PATH + "Keep")
        self.assertEqual(7, self.client.ask("Keep").status)
        self.assertEqual([], self.site.keep.messages)

    def test_a_method_that_is_not_there(self) -> None:
        for path in ("Nope", "/", "/test.Service", "/test.Service/Echo/", "/Test.Service/Echo"):
            with self.subTest(path):
                answer = self.client.ask(path)
                self.assertEqual(12, answer.status)
        self.assertEqual((PATH + "Nope", Code.UNIMPLEMENTED), self.site.over[0][:2])

    def test_a_path_without_its_slash_means_nothing(self) -> None:
        connection = self.client.http2.connection
        stream = connection.get_next_available_stream_id()
        path = (b":path", b"test.Service/Echo")
        connection.send_headers(stream, [*HEADERS[:2], path, *HEADERS[2:]], end_stream=True)
        self.client.pump()
        self.assertEqual([], self.site.echo.messages)
        self.assertNotEqual(0, self.client.http2.answers[stream].status)

    def test_a_large_answer_is_whole(self) -> None:
        body = bytes(range(256)) * 4000
        self.assertEqual([body], self.client.ask("Echo", body).messages)
        self.assertEqual(0, self.client.http2.answers[1].status)

    def test_what_is_written_down(self) -> None:
        self.client.ask("Echo", b"hello")
        self.client.ask("Keep", b"hello")
        self.stage.clock.advance(2.5)
        self.site.keep.calls[0].finish(Code.ABORTED, "no")
        self.client.pump()
        self.assertEqual(
            [(PATH + "Echo", Code.OK, 10, 5), (PATH + "Keep", Code.ABORTED, 10, 0)], self.site.over
        )
        self.assertEqual([0.0, 2.5], self.site.seconds)

    def test_calls_of_a_turn_are_written_down_together(self) -> None:
        for method in ("Echo", "Keep", "Nope", "Echo"):
            self.client.http2.request(method, message(b"hello"))
        self.client.pump()
        self.assertEqual([3], self.site.together)
        self.client.leave()
        self.assertEqual([3, 1], self.site.together, "who leaves is written down at once")

    def test_messages_that_are_sent_together_stay_apart(self) -> None:
        self.client.ask("Keep", b"hello")
        (call,) = self.site.keep.calls
        sent = [b"one", b"", b"three" * 100, bytes(70_000), b"five"]
        call.send(*sent[:3])
        call.send(*sent[3:])
        call.reply(b"last")
        self.client.pump()
        self.assertEqual([*sent, b"last"], self.client.http2.answers[1].messages)
        self.assertEqual([sum(map(len, sent)) + 4], [size for _, _, _, size in self.site.over])

    def test_only_the_first_end_counts(self) -> None:
        self.client.ask("Keep")
        (call,) = self.site.keep.calls
        call.reply(b"one")
        call.reply(b"two")
        call.finish(Code.INTERNAL)
        self.assertFalse(call.send(b"three"))
        self.client.pump()
        self.assertEqual([b"one"], self.client.http2.answers[1].messages)
        self.assertEqual(1, len(self.site.over))


class CancellingTests(SynchronousTestCase):
    """Clients that leave, one way or another."""

    def setUp(self) -> None:
        self.stage = RpcStage()
        self.site = self.stage.site
        self.client = self.stage.connect()

    def test_a_reset_tells_the_method_once(self) -> None:
        stream = self.client.http2.request("Keep", message(b""))
        self.client.pump()
        self.client.http2.connection.reset_stream(stream, 8)
        self.client.pump()
        (call,) = self.site.keep.calls
        self.assertEqual(([Code.CANCELLED], True), (self.site.keep.cancelled, call.is_over))
        call.reply(b"too late")
        self.client.pump()
        self.assertEqual([(PATH + "Keep", Code.CANCELLED, 5, 0)], self.site.over)
        self.assertEqual(0, self.client.ask("Echo").status)

    def test_a_lost_connection_cancels_all_its_calls(self) -> None:
        for _ in range(3):
            self.client.http2.request("Keep", message(b""))
        self.client.pump()
        self.client.leave()
        self.assertEqual([Code.CANCELLED] * 3, self.site.keep.cancelled)
        self.assertFalse(self.site.keep.calls[0].send(b"x"))
        self.site.keep.calls[0].reply(b"x")
        self.stage.turn()
        self.assertEqual((3, set()), (len(self.site.over), self.stage.connections.open))

    def test_a_deadline_is_the_calls_end_when_its_method_says_nothing(self) -> None:
        answer = self.client.ask("Keep", more=[(b"grpc-timeout", b"1500m")])
        self.stage.advance(1.5)
        self.assertEqual([], self.site.over, "its job has a moment to say more")
        self.stage.advance(0.5)
        self.client.pump()
        self.assertEqual((4, [Code.DEADLINE_EXCEEDED]), (answer.status, self.site.keep.cancelled))

    def test_a_call_that_is_answered_is_not_watched_any_more(self) -> None:
        more = [(b"grpc-timeout", b"1H")]
        self.client.ask("Echo", more=more)
        self.client.ask("Keep", more=more)
        deadlines = self.stage.factory.listener.deadlines
        self.assertEqual(1, len(deadlines))
        self.site.keep.calls[0].reply(b"")
        self.assertEqual(0, len(deadlines))

    def test_a_call_whose_time_is_over_when_it_arrives_reaches_no_method(self) -> None:
        answer = self.client.ask("Keep", more=[(b"grpc-timeout", b"0m")])
        self.assertEqual((4, []), (answer.status, self.site.keep.messages))

    def test_a_malformed_time_limit_is_refused(self) -> None:
        for value in (b"1", b"m", b"1x", b"-1S", b"123456789S", b"1 S"):
            self.assertEqual(3, self.client.ask("Keep", more=[(b"grpc-timeout", value)]).status, value)
        self.assertEqual([], self.site.keep.messages)
