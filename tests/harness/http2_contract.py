"""What every engine of HTTP/2 does, whatever library it is."""

from __future__ import annotations

from typing import Any
from unittest import TestCase

from attrs import define, evolve, field

from modelserver.rpc.http2 import (
    ConnectionBroken,
    EngineMaker,
    ErrorCode,
    Http2Engine,
    Http2Limits,
    StreamGone,
)
from modelserver.rpc.wire.fields import Fields
from tests.harness.http2_client import HEADERS, Http2Client, raw_frame

HEAD = [(b":status", b"200"), (b"content-type", b"application/grpc")]
TAIL = [(b"grpc-status", b"0")]
LIMITS = Http2Limits()
HEADERS_FRAME, RST_STREAM, CONTINUATION = 1, 3, 9


@define
class Told:
    """Keeps what an engine tells."""

    requests: dict[int, dict[bytes, bytes]] = field(factory=dict)
    bodies: dict[int, bytes] = field(factory=dict)
    whole: list[int] = field(factory=list)
    resets: list[int] = field(factory=list)
    gone: list[int] = field(factory=list)
    pings: int = 0
    pongs: list[bytes] = field(factory=list)
    is_ready: bool = False
    has_left: bool = False

    def requested(self, stream: int, fields: Fields, ended: bool) -> None:
        self.requests[stream] = dict(fields)
        self.body_came(stream, b"", ended)

    def body_came(self, stream: int, data: bytes, ended: bool) -> None:
        self.bodies[stream] = self.bodies.get(stream, b"") + data
        if ended:
            self.whole.append(stream)

    def was_reset(self, stream: int) -> None:
        self.resets.append(stream)

    def closed(self, stream: int) -> None:
        self.gone.append(stream)

    def pinged(self) -> None:
        self.pings += 1

    def ponged(self, data: bytes) -> None:
        self.pongs.append(data)

    def ready(self) -> None:
        self.is_ready = True

    def ended(self) -> None:
        self.has_left = True


class Http2Case(TestCase):
    """An engine and its client, who have said hello."""

    __test__ = False

    @staticmethod
    def maker() -> EngineMaker:
        """The engine; subclasses say which."""
        raise NotImplementedError

    def setUp(self) -> None:
        self.start(LIMITS)

    def start(self, limits: Http2Limits) -> None:
        """Begin again, with these limits."""
        self.told = Told()
        self.engine: Http2Engine = self.maker()(self.told, limits)
        self.client = Http2Client()
        self.engine.start()
        self.exchange()

    def exchange(self) -> None:
        """Send what each side has, until neither has anything."""
        while True:
            up, down = self.client.output(), self.engine.take_output()
            if not up and not down:
                return
            if up:
                self.engine.receive(up)
            self.client.feed(down)

    def ask(self, body: bytes | None = b"body", **more: Any) -> int:
        """Send a request."""
        stream = self.client.request(body=body, **more)
        self.exchange()
        return stream


class Http2Contract(Http2Case):
    """Requests, answers, windows, ends."""

    def test_settings_are_told_and_the_client_is_known_to_speak_http2(self) -> None:
        self.assertTrue(self.told.is_ready)
        settings = self.client.settings
        self.assertEqual(
            [100, 1 << 20, 1 << 20, 16 << 10], [settings[code] for code in (3, 4, 5, 6)], "streams, sizes"
        )

    def test_the_client_may_take_larger_frames(self) -> None:
        self.assertEqual(1 << 14, self.engine.peer_frame)
        for size in (1 << 20, 1 << 15):
            self.client.connection.update_settings({5: size})
            self.exchange()
            self.assertEqual(size, self.engine.peer_frame)

    def test_a_request_and_its_answer(self) -> None:
        stream = self.ask()
        self.assertEqual(b"/test.Service/Echo", self.told.requests[stream][b":path"])
        self.assertEqual((b"body", [stream]), (self.told.bodies[stream], self.told.whole))
        self.engine.answer(stream, HEAD, b"answer", TAIL)
        self.exchange()
        answer = self.client.answers[stream]
        self.assertEqual(
            (b"answer", 0, True, None), (answer.body, answer.status, answer.is_ended, answer.reset)
        )
        self.assertEqual([stream], self.told.gone)

    def test_a_field_whose_value_comes_once_is_remembered_by_neither_side(self) -> None:
        table = self.client.connection.decoder.header_table
        for each in (b"1", b"2"):
            stream = self.ask()
            self.engine.answer(stream, [*HEAD, self.engine.unique((b"x-request-id", each))], b"", TAIL)
            self.exchange()
            self.assertEqual(each, self.client.answers[stream].head[b"x-request-id"])
        self.assertNotIn(b"x-request-id", [name for name, _ in table.dynamic_entries])

    def test_a_head_alone_is_an_answer(self) -> None:
        stream = self.ask()
        self.engine.answer_head(stream, [*HEAD, *TAIL], True)
        self.exchange()
        self.assertEqual(
            (0, True), (self.client.answers[stream].status, self.client.answers[stream].is_ended)
        )

    def test_an_answer_in_parts(self) -> None:
        stream = self.ask()
        self.engine.answer_head(stream, HEAD, False)
        for part in (b"one ", b"two "):
            self.engine.answer_part(stream, part)
            self.exchange()
        self.assertFalse(self.client.answers[stream].is_ended)
        self.engine.answer_tail(stream, TAIL)
        self.exchange()
        self.assertEqual(b"one two ", self.client.answers[stream].body)
        self.assertTrue(self.client.answers[stream].is_ended)

    def test_an_answer_waits_for_the_window_and_is_counted(self) -> None:
        self.client.takes = False
        stream = self.ask()
        self.engine.answer(stream, HEAD, bytes(100_000), TAIL)
        self.exchange()
        self.assertEqual(65_535, len(self.client.answers[stream].body))
        self.assertEqual(100_000 - 65_535, self.engine.queued(stream))
        self.assertEqual(self.engine.queued(stream), self.engine.queued())
        self.assertFalse(self.engine.has_sent(stream))
        self.client.connection.acknowledge_received_data(65_535, stream)
        self.exchange()
        self.assertEqual((100_000, True), (len(self.client.answers[stream].body), True))
        self.assertEqual(0, self.engine.queued())

    def test_the_client_may_send_no_more_than_was_consumed(self) -> None:
        stream = self.ask(None)
        window = self.client.connection.local_flow_control_window(stream)
        self.client.data(stream, bytes(window))
        self.exchange()
        self.assertEqual(0, self.client.connection.local_flow_control_window(stream))
        self.engine.consumed(stream, window)
        self.exchange()
        self.assertEqual(window, self.client.connection.local_flow_control_window(stream))

    def test_what_a_dead_stream_has_sent_opens_the_window_of_the_connection(self) -> None:
        before = self.client.connection.outbound_flow_control_window
        for _ in range(20):
            stream = self.ask(None)
            self.client.data(stream, bytes(1 << 20))
            self.exchange()
            self.client.connection.reset_stream(stream, 8)
            self.exchange()
            self.engine.consumed(stream, 1 << 20)
            self.exchange()
        self.assertGreater(self.client.connection.outbound_flow_control_window, before // 2)

    def test_a_stream_that_its_client_has_reset_is_gone(self) -> None:
        stream = self.ask(None)
        self.client.data(stream, b"12345")
        self.client.connection.reset_stream(stream, 8)
        self.exchange()
        self.assertEqual(([stream], [stream]), (self.told.resets, self.told.gone))
        with self.assertRaises(StreamGone):
            self.engine.answer(stream, HEAD, b"", TAIL)
            self.engine.take_output()
        for call in (
            lambda: self.engine.consumed(stream, 5),
            lambda: self.engine.reset(stream, ErrorCode.CANCEL),
        ):
            call()  # passed over

    def test_a_stream_may_be_gone_before_it_is_told_of(self) -> None:
        stream = self.client.request()
        self.client.connection.reset_stream(stream, 8)
        self.exchange()
        self.assertEqual(([stream], [stream]), (list(self.told.requests), self.told.gone))

    def test_the_server_may_give_up_a_request_once_it_is_answered(self) -> None:
        stream = self.ask(None)
        self.engine.answer_head(stream, [*HEAD, *TAIL], True)
        self.exchange()
        self.assertTrue(self.engine.has_sent(stream))
        self.engine.reset(stream, ErrorCode.NO_ERROR)
        self.exchange()
        self.assertEqual((0, 0), (self.client.answers[stream].status, self.client.answers[stream].reset))
        self.assertEqual([stream], self.told.gone)

    def test_an_answered_stream_may_be_forgotten_where_the_engine_does_not_see_its_end(self) -> None:
        stream = self.ask(None, more=[(b"content-length", b"1000")])
        self.assertEqual(65_535, self.engine.window(stream))
        self.engine.answer_head(stream, HEAD, False)
        self.engine.answer_tail(stream, TAIL)
        self.exchange()
        self.assertTrue(self.engine.has_sent(stream))
        self.assertEqual([], self.told.gone)
        self.engine.forget(stream)
        self.assertEqual(([stream], []), (self.told.gone, self.told.resets))
        self.exchange()
        self.assertIsNone(self.client.answers[stream].reset, "its client has nothing to do with it")
        self.engine.forget(stream)  # passed over
        self.assertEqual(([stream], 0), (self.told.gone, self.engine.window(stream)))
        self.engine.answer(self.ask(), HEAD, b"answer", TAIL)
        self.exchange()
        self.assertEqual(2, len(self.told.gone))

    def test_windows_are_told(self) -> None:
        self.client.takes = False
        stream = self.ask()
        self.client.connection.increment_flow_control_window(10_000)
        self.client.connection.increment_flow_control_window(500, stream)
        self.exchange()
        self.assertEqual((75_535, 66_035), (self.engine.window(), self.engine.window(stream)))
        self.engine.answer_head(stream, HEAD, False)
        self.engine.answer_part(stream, bytes(1_000))
        self.exchange()
        self.assertEqual((74_535, 65_035), (self.engine.window(), self.engine.window(stream)))
        self.client.connection.update_settings({4: 60_000})
        self.exchange()
        self.assertEqual(65_035 - 5_535, self.engine.window(stream))

    def test_pings_are_answered_both_ways(self) -> None:
        self.client.connection.ping(b"12345678")
        self.engine.ping(b"abcdefgh")
        self.exchange()
        self.assertEqual(([b"12345678"], [b"abcdefgh"]), (self.client.pongs, self.told.pongs))
        self.assertEqual(1, self.told.pings)

    def test_new_settings_count_as_pings(self) -> None:
        self.client.connection.update_settings({4: 100_000})
        self.exchange()
        self.assertEqual(1, self.told.pings)

    def test_after_the_first_notice_of_the_end_calls_still_begin(self) -> None:
        self.engine.announce_end()
        # Not through the client's own library, which would begin nothing more.
        data = self.engine.take_output()
        self.assertIn(b"\x7f\xff\xff\xff" + bytes(4), data)
        stream = self.client.request(body=b"late")
        self.engine.receive(self.client.output())
        self.assertIn(stream, self.told.whole)

    def test_a_ping_follows_the_notice_so_that_its_answer_says_that_the_peer_knows(self) -> None:
        self.engine.announce_end()
        self.engine.ping(b"do-know?")
        data = self.engine.take_output()
        self.assertLess(data.index(b"\x7f\xff\xff\xff" + bytes(4)), data.index(b"do-know?"))
        self.engine.announce_end()
        self.engine.ping(b"really?!")
        self.assertIn(b"really?!", self.engine.take_output())

    def test_the_last_notice_names_the_last_stream_and_the_reason(self) -> None:
        stream = self.ask()
        self.engine.end(ErrorCode.ENHANCE_YOUR_CALM, b"too_many_pings")
        self.client.feed(self.engine.take_output())
        self.assertEqual([(11, stream, b"too_many_pings")], self.client.goaways)

    def test_a_call_in_hand_is_answered_after_the_last_notice(self) -> None:
        stream = self.ask()
        self.engine.end(ErrorCode.NO_ERROR, b"")
        self.engine.take_output()
        self.engine.answer(stream, HEAD, b"answer", TAIL)
        self.assertIn(b"answer", self.engine.take_output())

    def test_a_client_that_leaves_is_told_of(self) -> None:
        self.client.connection.close_connection()
        self.exchange()
        self.assertTrue(self.told.has_left)

    def test_trailers_end_a_request(self) -> None:
        stream = self.ask(None)
        self.client.connection.send_headers(stream, [(b"x-more", b"1")], end_stream=True)
        self.exchange()
        self.assertEqual([stream], self.told.whole)


class Http2LimitsContract(Http2Case):
    """What ends a connection, and what does not."""

    def broken(self, data: bytes) -> ConnectionBroken:
        """How the connection breaks by these bytes."""
        with self.assertRaises(ConnectionBroken) as caught:
            self.engine.receive(data)
            while self.engine.take_output():
                pass
        return caught.exception

    def test_what_is_no_http2_breaks_it(self) -> None:
        self.start(LIMITS)
        engine = self.maker()(Told(), LIMITS)
        engine.start()
        with self.assertRaises(ConnectionBroken):
            engine.receive(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" + bytes(100))

    def test_after_that_nothing_raises_but_receiving(self) -> None:
        stream = self.ask()
        self.broken(raw_frame(RST_STREAM, 0, 0, bytes(4)))
        self.engine.ping(b"abcdefgh")
        self.engine.consumed(stream, 4)
        self.engine.reset(stream, ErrorCode.CANCEL)
        self.engine.announce_end()
        self.engine.end(ErrorCode.NO_ERROR, b"")
        self.assertEqual(0, self.engine.queued())
        self.assertIn(self.engine.has_sent(stream), (True, False))

    def test_more_fields_than_were_told_are_delivered_up_to_a_limit(self) -> None:
        stream = self.ask(more=[(b"x-long", bytes(20_000).replace(b"\0", b"a"))])
        self.assertEqual(20_000, len(self.told.requests[stream][b"x-long"]))

    def test_fields_over_the_limit_break_it(self) -> None:
        self.start(evolve(LIMITS, most_fields=20_000))
        self.client.request(body=b"", more=[(b"x-long", b"a" * 30_000)])
        self.broken(self.client.output())

    def test_lines_of_fields_over_the_limit_break_it(self) -> None:
        self.start(evolve(LIMITS, most_field_lines=50))
        self.client.request(body=b"", more=[(b"x-a", b"%d" % number) for number in range(60)])
        self.broken(self.client.output())

    def test_fields_without_an_end_break_it(self) -> None:
        start = raw_frame(HEADERS_FRAME, 0, 1, b"\x82\x86")
        more = raw_frame(CONTINUATION, 0, 1, b"\x40\x01a\x01b")
        self.broken(self.client.output() + start + more * 100)

    def test_a_length_that_no_frame_may_have_breaks_it(self) -> None:
        self.broken(raw_frame(0, 0, 1, bytes(LIMITS.frame + 1)))

    def test_more_streams_than_allowed_are_refused_or_break_it_and_none_is_told_of(self) -> None:
        self.start(evolve(LIMITS, streams=3))
        for _ in range(3):
            self.ask(None)
        head = b"\x83\x86\x44\x02/a"  # POST, http, and a path
        try:
            self.engine.receive(raw_frame(HEADERS_FRAME, 4, 7, head))
        except ConnectionBroken:
            pass
        self.assertEqual(3, len(self.told.requests))

    def test_no_field_has_a_line_break(self) -> None:
        for value in (b"a\r\nx-evil: 1", b"a\nb", b"a\0b"):
            with self.subTest(value):
                self.start(LIMITS)
                self.client.request(body=b"", more=[(b"x-a", value)])
                try:
                    self.engine.receive(self.client.output())
                except ConnectionBroken:
                    pass
                self.assertEqual([], [each for each in self.told.requests.values() if b"x-a" in each])

    def test_upper_case_names_are_no_fields(self) -> None:
        self.client.request(body=b"", headers=[*HEADERS, (b"X-Upper", b"1")])
        try:
            self.engine.receive(self.client.output())
        except ConnectionBroken:
            pass
        self.assertEqual([], [each for each in self.told.requests.values() if b"X-Upper" in each])
