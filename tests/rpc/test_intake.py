"""Bodies of large messages go past the engine, and everything is as if they had not."""

from __future__ import annotations

from modelserver.http1.body_memory import BodyMemory
from modelserver.rpc.large_message import LARGE
from modelserver.rpc.limits import RpcLimits
from modelserver.rpc.listener_context import ROOM
from modelserver.rpc.passing import SHORTEST
from tests.harness.http2_client import message, raw_frame
from tests.harness.intake import BODY, HUGE, SLOTS, IntakeTestCase, slots_of
from tests.harness.transports import FillingTransport

DATA, PADDED = 0, 8


class IntakeTests(IntakeTestCase):
    """Received by the transport, piece by piece."""

    def test_the_engine_sees_the_beginning_and_the_end_alone(self) -> None:
        stream = self.send(message(BODY))
        self.assertEqual([BODY], self.site.echo.messages)
        self.assertLess(self.maker.seen, 1 << 16)
        self.assertEqual(len(BODY) + 5, self.site.over[0][2], "all of it is counted")
        self.assertEqual(0, self.client.http2.answers[stream].status)
        self.assertEqual((SLOTS, 0), (self.slots.free, self.stage.memory.used))

    def test_of_a_large_first_frame_the_engine_sees_the_prefix_alone(self) -> None:
        framed = message(BODY)
        for count, more in enumerate(([], [(b"content-length", b"%d" % len(framed))]), 1):
            before = self.maker.seen
            stream = self.client.http2.request("Echo", more=more)
            self.client.http2.data(stream, framed, True)
            self.client.pump()
            self.assertEqual([BODY] * count, self.site.echo.messages)
            self.assertLess(self.maker.seen - before, 500)
            answer = self.client.http2.answers[stream]
            self.assertEqual((0, True, None), (answer.status, answer.is_ended, answer.reset))
            self.assertEqual({}, self.client.connection.reception.calls)
        self.assertEqual((SLOTS, 0), (self.slots.free, self.stage.memory.used))

    def test_a_large_first_frame_that_comes_bit_by_bit(self) -> None:
        framed = message(BODY)
        for step in (1, 7, 1000):
            stream = self.client.http2.request("Echo")
            self.client.pump()
            sent, at, before = raw_frame(DATA, 1, stream, framed), 0, self.maker.seen
            while at < len(sent):
                size = step if at < 40 else 40_000
                self.client.deliver(sent[at : at + size])
                at += size
            self.client.pump()
            self.assertLess(self.maker.seen - before, 500)
            self.assertEqual(BODY, self.client.http2.answers[stream].messages[0])

    def test_a_large_frame_of_a_small_message_is_for_the_engine(self) -> None:
        body = BODY[: LARGE - 1]
        stream = self.client.http2.request("Echo")
        self.client.http2.data(stream, message(body), True)
        self.client.pump()
        self.assertEqual([body], self.client.http2.answers[stream].messages)
        self.assertGreater(self.maker.seen, len(body))

    def test_a_large_first_frame_with_more_than_a_message_is_refused(self) -> None:
        framed = message(BODY) + message(b"another")
        for more in ([], [(b"content-length", b"%d" % len(framed))]):
            stream = self.client.http2.request("Echo", more=more)
            self.client.http2.data(stream, framed, True)
            self.client.pump()
            self.assertEqual(3, self.client.http2.answers[stream].status)
            self.assertEqual((SLOTS, 0), (self.slots.free, self.stage.memory.used))
        self.assertEqual([], self.site.echo.messages)
        self.assertEqual([b"hello"], self.client.ask().messages)

    def test_a_call_that_is_over_within_a_large_frame_leaves_its_place_alone(self) -> None:
        framed = message(BODY)
        stream = self.client.http2.request("Echo", more=[(b"grpc-timeout", b"1S")])
        self.client.pump()
        sent = raw_frame(DATA, 1, stream, framed)
        self.client.deliver(sent[:150_000])
        self.stage.advance(1.5)
        self.assertEqual(SLOTS, self.slots.free)
        places = [self.slots.take(2 * LARGE) for _ in range(SLOTS)]
        theirs = b"?" * (2 * LARGE)
        for place in places:
            assert place is not None
            self.slots.view(place)[:] = theirs
        self.client.deliver(sent[150_000:])
        self.client.pump()
        for place in places:
            assert place is not None
            self.assertTrue(self.slots.view(place) == theirs)
            place.free()
        self.assertEqual(4, self.client.http2.answers[stream].status)
        self.assertEqual([b"hello"], self.client.ask().messages)

    def test_the_window_of_the_connection_is_opened_again_and_again(self) -> None:
        for _ in range(80):  # 20 MB, where 16 MB may be on their way; the client breaks no window
            self.send(message(BODY))
        self.assertEqual(80, len(self.site.echo.messages))
        self.assertGreater(self.client.http2.connection.outbound_flow_control_window, 8 << 20)

    def test_a_message_may_be_larger_than_the_window_of_a_stream(self) -> None:
        self.stage = self.stage_with(slots_of(2 << 20))
        self.client = self.stage.connect()
        self.send(message(HUGE))
        self.assertEqual([HUGE], self.stage.site.echo.messages)
        self.assertLess(self.maker.seen, 1 << 16)

    def test_what_says_more_than_bytes_goes_through_the_engine(self) -> None:
        client, framed = self.client, message(BODY)
        stream = client.http2.request("Echo")
        client.pump()
        first, padded, last = framed[:20_000], framed[20_000:30_000], framed[30_000:]
        client.deliver(raw_frame(DATA, 0, stream, first))
        client.deliver(raw_frame(DATA, PADDED, stream, b"\x02" + padded + b"\0\0"))
        short = last[: SHORTEST - 1]
        seen = self.maker.seen
        client.deliver(raw_frame(DATA, 0, stream, short))
        self.assertEqual(9 + len(short), self.maker.seen - seen)
        rest = last[len(short) :]
        for start in range(0, len(rest), 16_000):
            client.deliver(raw_frame(DATA, 0, stream, rest[start : start + 16_000]))
        client.deliver(raw_frame(DATA, 1, stream, b""))
        self.assertEqual([BODY], self.site.echo.messages)

    def test_where_the_client_says_the_length_the_engine_does_not_see_the_end(self) -> None:
        framed = message(BODY)
        for count in range(1, 4):
            stream = self.send(framed, more=[(b"content-length", b"%d" % len(framed))])
            self.assertEqual([BODY] * count, self.site.echo.messages)
            answer = self.client.http2.answers[stream]
            self.assertEqual((0, True, None), (answer.status, answer.is_ended, answer.reset))
        self.assertLess(self.maker.seen, len(framed))
        connection = self.client.connection
        self.assertEqual(({}, {}), (connection.reception.calls, connection.reception.half))
        self.assertEqual((SLOTS, 0), (self.slots.free, self.stage.memory.used))

    def test_the_end_may_come_at_once_with_a_short_piece_that_is_for_the_engine(self) -> None:
        framed, client = message(BODY), self.client
        for short in (1, SHORTEST - 1):
            for last in (0, 1, 16_000):
                stream = client.http2.request("Echo", more=[(b"content-length", b"%d" % len(framed))])
                cut = len(framed) - short - last
                client.http2.data(stream, framed[:cut])
                client.pump()
                client.http2.data(stream, framed[cut : cut + short])
                client.http2.data(stream, framed[cut + short :], True)
                client.pump()
                answer = client.http2.answers[stream]
                self.assertEqual(([BODY], 0, None), (answer.messages, answer.status, answer.reset))
        self.assertEqual({}, client.connection.reception.calls)
        self.assertEqual((SLOTS, 0), (self.slots.free, self.stage.memory.used))

    def test_a_wrong_length_is_refused_by_the_engine(self) -> None:
        framed = message(BODY)
        stream = self.send(framed, more=[(b"content-length", b"%d" % (len(framed) + 1))])
        self.assertEqual([], self.site.echo.messages)
        self.assertEqual(1, self.client.http2.answers[stream].reset)
        self.assertEqual((SLOTS, 0), (self.slots.free, self.stage.memory.used))

    def test_what_follows_the_end_of_a_request_reaches_nobody(self) -> None:
        framed, client = message(BODY), self.client
        said = [(b"content-length", b"%d" % len(framed))]
        self.site.echo.answers = lambda call, body: None
        stream = self.send(framed, more=said)
        client.deliver(raw_frame(DATA, 0, stream, b"more"))
        client.deliver(raw_frame(DATA, 1, stream, b""))
        client.pump()
        self.assertEqual([BODY], self.site.echo.messages)
        self.assertIsNotNone(client.http2.answers[stream].status)
        self.assertEqual((SLOTS, 0), (self.slots.free, self.stage.memory.used))

    def test_a_call_is_forgotten_before_its_client_begins_another(self) -> None:
        self.stage = self.stage_with(self.slots, limits=RpcLimits(streams=2))
        self.client = client = self.stage.connect()
        framed, keep = message(BODY), self.stage.site.keep
        stream = client.http2.request("Keep", more=[(b"content-length", b"%d" % len(framed))])
        client.http2.data(stream, framed, True)
        client.pump()
        other = client.http2.request("Echo")
        client.pump()
        piece = raw_frame(DATA, 0, other, message(b"hello"))
        client.deliver(piece[:12])  # the engine is within a frame
        keep.calls[0].reply(b"kept")
        client.pump()
        self.assertEqual([b"kept"], client.http2.answers[stream].messages)
        third = client.http2.request("Echo", message(b"third"))
        client.deliver(piece[12:] + client.http2.output())
        client.pump()
        self.assertEqual([b"third"], client.http2.answers[third].messages)
        client.deliver(raw_frame(DATA, 1, other, b""))
        client.pump()
        self.assertEqual([b"hello"], client.http2.answers[other].messages)
        self.assertEqual({}, client.connection.reception.calls)

    def test_a_call_that_is_over_before_its_last_piece_is_forgotten(self) -> None:
        framed, client = message(BODY), self.client
        said = [(b"content-length", b"%d" % len(framed)), (b"grpc-timeout", b"1S")]
        stream = client.http2.request("Echo", more=said)
        cut = len(framed) - 16_000
        client.http2.data(stream, framed[:cut])
        client.pump()
        last = raw_frame(DATA, 1, stream, framed[cut:])
        client.deliver(last[:9000])
        self.stage.clock.advance(1.5)  # its answer waits until the end of the turn
        client.deliver(last[9000:])
        self.stage.turn()
        client.pump()
        self.assertEqual(([], 4), (self.site.echo.messages, client.http2.answers[stream].status))
        self.send(framed)
        self.assertEqual([BODY], self.site.echo.messages)
        self.assertEqual({}, client.connection.reception.calls)

    def test_why_a_call_is_over_is_told_though_its_last_pieces_come_before_that_is_sent(self) -> None:
        framed, client = message(BODY), self.client
        said = [(b"content-length", b"%d" % len(framed)), (b"grpc-timeout", b"1S")]
        for whole, short in ((0, 0), (20_000, 0), (20_000, SHORTEST - 1)):
            stream = client.http2.request("Echo", more=said)
            cut = len(framed) - 16_000 - short - whole
            client.http2.data(stream, framed[:cut])
            client.pump()
            self.stage.clock.advance(1.5)  # its answer waits until the end of the turn
            for piece in (framed[cut : cut + whole], framed[cut + whole : cut + whole + short]):
                client.http2.data(stream, piece)
            client.http2.data(stream, framed[-16_000:], True)
            client.deliver(client.http2.output())
            client.pump()
            answer = client.http2.answers[stream]
            self.assertEqual((4, None), (answer.status, answer.reset))
        self.assertEqual([], self.site.echo.messages)
        self.assertEqual({}, client.connection.reception.calls)
        self.assertEqual((SLOTS, 0), (self.slots.free, self.stage.memory.used))

    def test_a_call_that_ends_within_a_frame_leaves_the_rest_to_nobody(self) -> None:
        client, framed = self.client, message(BODY)
        stream = client.http2.request("Echo", more=[(b"grpc-timeout", b"1S")])
        client.http2.data(stream, framed[:20_000])
        client.pump()
        frame = raw_frame(DATA, 0, stream, framed[20_000:36_000])
        client.deliver(frame[:9000])
        self.assertEqual(SLOTS - 1, self.slots.free)
        self.stage.advance(1.5)
        place = self.slots.take(1)
        assert place is not None
        self.slots.view(place)[:] = b"?"
        whole = self.slots.memory[place.offset : place.offset + LARGE]
        before = bytes(whole)
        client.deliver(frame[9000:])
        self.assertEqual(before, bytes(whole), "somebody else has the place by now")
        place.free()
        client.http2.connection.reset_stream(stream, 8)
        client.pump()
        self.send(message(BODY))
        self.assertEqual([BODY], self.site.echo.messages)

    def test_frames_of_a_call_that_is_over_leave_its_place_to_who_has_it_now(self) -> None:
        framed, client = message(BODY), self.client
        said = [(b"content-length", b"%d" % len(framed)), (b"grpc-timeout", b"1S")]
        stream = client.http2.request("Echo", more=said)
        client.http2.data(stream, framed[:20_000])
        client.pump()
        frames = [
            raw_frame(DATA, 0, stream, framed[at : at + 16_000]) for at in range(20_000, 116_000, 16_000)
        ]
        client.deliver(frames[0])
        self.stage.clock.advance(1.5)  # its answer waits until the end of the turn
        place = self.slots.take(1)
        assert place is not None
        whole = self.slots.memory[place.offset : place.offset + LARGE]
        before = bytes(whole)
        client.deliver(b"".join(frames[1:4]))
        client.deliver(frames[4])
        client.deliver(frames[5])
        self.assertEqual(before, bytes(whole), "somebody else has the place by now")
        place.free()
        client.pump()
        self.assertEqual(4, client.http2.answers[stream].status)
        self.send(message(BODY))
        self.assertEqual([BODY], self.site.echo.messages)

    def test_a_body_for_which_no_memory_is_left_ends_its_call(self) -> None:
        self.stage = self.stage_with(self.slots, memory=BodyMemory(LARGE // 2))
        self.client = self.stage.connect()
        stream = self.send(message(BODY))
        self.assertEqual(8, self.client.http2.answers[stream].status)
        self.assertEqual((SLOTS, 0), (self.slots.free, self.stage.memory.used))


class RoomTests(IntakeTests):
    """The same where the transport receives into the room of the listener while large bodies come."""

    make_transport = FillingTransport

    def test_it_does_so_as_long_as_more_of_a_large_body_is_to_come(self) -> None:
        client, framed = self.client, message(BODY)
        stream = client.http2.request("Echo")
        client.http2.data(stream, framed[:100])
        client.pump()
        self.assertIsNotNone(client.transport.sink)
        client.http2.data(stream, framed[100:], True)
        client.http2.request("Echo", message(b"small"))
        client.pump()
        self.assertIsNone(client.transport.sink)
        self.assertEqual([BODY, b"small"], self.site.echo.messages)

    def test_a_large_frame_is_read_to_where_its_worker_reads_it(self) -> None:
        client, framed = self.client, message(BODY)
        stream = client.http2.request("Echo")
        client.pump()
        sent = raw_frame(DATA, 1, stream, framed)
        client.deliver(sent[:1000])
        sink = client.transport.sink
        assert sink is not None
        self.assertEqual(len(sent) - 1000 - 1, len(sink.room()), "the last byte ends the request")
        seen = self.maker.seen
        client.deliver(sent[1000:-1])
        self.assertEqual(seen, self.maker.seen)
        self.assertEqual(len(framed) - 1, client.connection.received)
        self.assertEqual(len(framed) - 1, self.stage.memory.used)
        client.deliver(sent[-1:])
        client.pump()
        self.assertEqual([BODY], client.http2.answers[stream].messages)

    def test_a_read_that_finds_nothing_leaves_no_trace(self) -> None:
        client, framed = self.client, message(BODY)
        stream = client.http2.request("Echo", more=[(b"grpc-timeout", b"1S")])
        client.pump()
        sent = raw_frame(DATA, 1, stream, framed)
        client.deliver(sent[:150_000])
        sink = client.transport.sink
        assert sink is not None
        self.assertLess(len(sink.room()), ROOM, "where its worker would have read it")
        self.stage.clock.advance(1.5)
        next_stream = client.http2.request("Echo", message(b"small"))
        client.deliver(sent[150_000:] + client.http2.output())
        client.pump()
        self.assertEqual(4, client.http2.answers[stream].status)
        self.assertEqual([b"small"], client.http2.answers[next_stream].messages)

    def test_a_read_ends_where_a_frame_does(self) -> None:
        client, framed = self.client, message(HUGE[: 2 * LARGE])
        stream = client.http2.request("Keep")
        client.http2.data(stream, framed[:100])
        client.pump()
        frames = [raw_frame(DATA, 0, stream, framed[at : at + 16_384]) for at in (100, 16_484, 32_868)]
        sent = b"".join(frames)[:-7000]
        client.deliver(sent)
        sink = client.transport.sink
        assert sink is not None
        room = sink.room()
        self.assertEqual(0, (len(room) - 7000) % (9 + 16_384))
        self.assertLess(ROOM - len(room), 9 + 16_384)

    def test_what_has_come_counts_at_once(self) -> None:
        client, framed = self.client, message(BODY)
        stream = client.http2.request("Keep")
        client.http2.data(stream, framed[:100])
        client.pump()
        for at in range(100, 100_100, 10_000):
            client.http2.data(stream, framed[at : at + 10_000])
            client.pump()
            self.assertEqual(at + 10_000, client.connection.received)
            self.assertEqual(at + 10_000, self.stage.memory.used)

    def test_it_serves_all_connections_at_a_time(self) -> None:
        framed, clients = message(BODY), [self.client, self.stage.connect()]
        streams = [client.http2.request("Echo") for client in clients]
        for at in range(0, len(framed), 10_000):
            for client, stream in zip(clients, streams, strict=True):
                client.http2.data(stream, framed[at : at + 10_000], at + 10_000 >= len(framed))
                client.pump()
        self.assertEqual([BODY] * 2, self.site.echo.messages)
