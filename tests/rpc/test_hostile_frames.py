"""HTTP/2 as an attacker speaks it: each is bounded and named in the log, and harms no other connection."""

from __future__ import annotations

import gzip
from unittest import TestCase

from attrs import evolve

from modelserver.rpc.call import FRAMED
from modelserver.rpc.engines.h2 import H2Engine
from modelserver.rpc.engines.ngh2 import Ngh2Engine
from modelserver.rpc.http2 import EngineMaker
from modelserver.rpc.limits import RpcLimits
from modelserver.rpc.message_streams import MOST_MESSAGES, UNREAD_HIGH
from tests.harness.http2_client import HEADERS, message, raw_frame, raw_request
from tests.harness.http2_contract import CONTINUATION, HEADERS_FRAME, RST_STREAM
from tests.harness.rpc import RpcClient, RpcStage

DATA, PRIORITY, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE = 0, 2, 4, 5, 6, 7, 8
READ = 1 << 18
"""Bytes that a loop reads at once."""


class HostileContract(TestCase):
    """The same for each engine."""

    __test__ = False

    @staticmethod
    def maker() -> EngineMaker:
        """The engine; subclasses say which."""
        raise NotImplementedError

    def setUp(self) -> None:
        self.start()

    def start(self, limits: RpcLimits | None = None) -> None:
        """A listener with a bystander, whose call is in hand, and an attacker."""
        self.stage = RpcStage(make_engine=self.maker(), limits=limits or RpcLimits())
        self.bystander = self.stage.connect()
        self.attacker = self.stage.connect()
        self.in_hand = self.bystander.ask("Keep")

    def tearDown(self) -> None:
        """Whatever was sent."""
        self.stage.site.keep.calls[0].reply(b"in hand")
        self.bystander.pump()
        self.assertEqual([b"in hand"], self.in_hand.messages)
        self.assertEqual([b"after"], self.bystander.ask("Echo", b"after").messages)
        self.assertEqual([], self.stage.site.failures)
        if not self.attacker.is_lost:
            self.attacker.leave()
        self.assertEqual(0, self.stage.memory.used)
        self.assertEqual(0, len(self.stage.factory.listener.deadlines))

    def attack(self, data: bytes, client: RpcClient | None = None) -> None:
        """Send bytes as a loop brings them, a turn each, as long as the connection is there and read."""
        client = client or self.attacker
        for start in range(0, len(data), READ):
            if client.is_ended:
                return
            client.connection.dataReceived(data[start : start + READ])
            for _ in range(1000):
                self.stage.turn()
                if client.transport.is_reading or client.is_ended:
                    break

    def assert_ended(self, *names: str) -> None:
        """The attacker was sent away, and why is written down."""
        self.assertTrue(self.attacker.is_ended)
        counts = self.stage.factory.listener.ended.counts
        self.assertTrue(counts)
        self.assertEqual({1}, set(counts.values()), counts)
        self.assertTrue(set(counts) <= set(names or ("broken",)), counts)

    def requests(self, count: int, first: int = 1, resets: bool = True) -> bytes:
        """Calls, each given up at once."""
        data = []
        for stream in range(first, first + 2 * count, 2):
            data += [raw_request(stream, b"/test.Service/Keep"), raw_frame(DATA, 1, stream, message(b"x"))]
            if resets:
                data.append(raw_frame(RST_STREAM, 0, stream, b"\0\0\0\x08"))
        return b"".join(data)

    def test_rapid_resets_end_the_connection(self) -> None:
        self.stage.clock.advance(1.0)
        self.attack(self.requests(6500))
        self.assert_ended()
        begun = len(self.stage.site.keep.messages) - 1  # without the bystander's
        self.assertLess(begun, 6500)
        self.assertEqual(begun, len(self.stage.site.over))  # before the client takes what is left, if ever

    def test_resets_of_a_client_that_means_no_harm_do_not(self) -> None:
        for second in range(10):
            self.attack(self.requests(900, 1 + second * 1800))
            self.stage.clock.advance(1.0)
        self.assertFalse(self.attacker.is_ended)
        self.assertEqual(9001, len(self.stage.site.keep.messages))

    def test_fields_that_never_end(self) -> None:
        start = raw_frame(HEADERS_FRAME, 0, 1, b"\x83\x86")
        self.attack(start + raw_frame(CONTINUATION, 0, 1, b"\x40\x01a\x01b") * 100_000)
        self.assert_ended()

    def test_fields_that_never_end_and_are_empty(self) -> None:
        self.attack(raw_frame(HEADERS_FRAME, 0, 1, b"") + raw_frame(CONTINUATION, 0, 1, b"") * 100_000)
        self.assert_ended()

    def test_fields_over_the_hard_limit(self) -> None:
        self.attacker.http2.request(
            "Echo", message(b""), more=[(b"x-a", b"a" * 60_000), (b"x-b", b"b" * 60_000)]
        )
        self.attack(self.attacker.http2.output())
        self.assert_ended()
        self.attacker.pump()
        self.assertTrue(self.attacker.http2.goaways)

    def test_fields_that_grow_by_being_named_again(self) -> None:
        entry = b"\x40\x01a" + b"\x7f\xa1\x1e" + b"b" * 4000  # into HPACK's table
        block = b"\x83\x86" + entry + b"\xbe" * 3000
        frames = raw_frame(HEADERS_FRAME, 4, 1, block)
        self.attack(frames)
        self.assert_ended()

    def test_a_flood_of_pings(self) -> None:
        self.attack(raw_frame(PING, 0, 0, bytes(8)) * 100_000)
        self.assert_ended("too_many_pings", "broken")

    def test_a_flood_of_pings_beside_a_call(self) -> None:
        self.attack(self.requests(1, resets=False))
        self.attack(raw_frame(PING, 0, 0, bytes(8)) * 100_000)
        self.assert_ended("too_many_pings", "broken")

    def test_a_flood_of_settings(self) -> None:
        self.attack(raw_frame(SETTINGS, 0, 0, b"\0\x04\0\0\xff\xff") * 100_000)
        self.assert_ended("too_many_pings", "broken")

    def test_acknowledgements_that_nobody_asked_for(self) -> None:
        self.attack(raw_frame(PING, 1, 0, bytes(8)) * 10_000)
        self.attack(raw_frame(SETTINGS, 1, 0, b"") * 10_000)
        self.assertLess(self.attacker.connection.unsent, 1 << 20)

    def test_empty_pieces_without_end_hold_nobody_up(self) -> None:
        stream = self.attacker.http2.request("Talk")
        start = self.attacker.http2.output()
        self.attack(start + raw_frame(DATA, 0, stream, b"") * 50_000)
        self.assertLess(self.attacker.connection.unsent, 1 << 20)

    def test_messages_of_no_bytes_are_counted_against_a_turns_budget(self) -> None:
        for together in (1, 3000):
            with self.subTest(together):
                self.start()
                hear = self.stage.site.hear
                hear.answers = lambda call, sent: call.consumed(len(sent or b""))
                stream = self.attacker.http2.request("Hear")
                start = self.attacker.http2.output()
                frames = raw_frame(DATA, 0, stream, message(b"") * together) * (12_000 // together)
                self.attacker.connection.dataReceived(start + frames)
                self.assertEqual(MOST_MESSAGES, len(hear.messages))
                self.assertFalse(self.attacker.transport.is_reading)
                self.assertEqual([b"now"], self.bystander_asks(b"now"), "between two turns of it")
                for _ in range(50):
                    self.stage.turn()
                self.assertEqual(12_000, len(hear.messages))
                self.assertTrue(self.attacker.transport.is_reading)

    def test_messages_of_no_bytes_that_nobody_takes_are_not_made(self) -> None:
        stream = self.attacker.http2.request("Hear")
        start = self.attacker.http2.output()
        self.attack(start + raw_frame(DATA, 0, stream, message(b"") * 3000) * 20)
        self.assertEqual(UNREAD_HIGH // FRAMED + 1, len(self.stage.site.hear.messages))
        (call,) = self.stage.site.hear.calls
        call.consumed(0, UNREAD_HIGH // FRAMED + 1)
        for _ in range(50):
            self.stage.turn()
        self.assertEqual(2 * (UNREAD_HIGH // FRAMED + 1), len(self.stage.site.hear.messages))

    def test_messages_that_grow_when_they_are_unpacked_are_counted_against_a_turns_budget(self) -> None:
        packed = message(gzip.compress(bytes(6_000_000)), 1)
        more = [(b"grpc-encoding", b"gzip")]
        for _ in range(20):
            self.attacker.http2.request("Keep", packed, more=more)
        self.attacker.connection.dataReceived(self.attacker.http2.output())
        self.assertLess(len(self.stage.site.keep.messages), 10)
        self.assertEqual([b"now"], self.bystander_asks(b"now"), "between two turns of it")
        for _ in range(50):
            self.stage.turn()
        self.assertEqual(21, len(self.stage.site.keep.messages))

    def bystander_asks(self, body: bytes) -> list[bytes]:
        """One call, without the turns of others."""
        stream = self.bystander.http2.request("Echo", message(body))
        self.bystander.connection.dataReceived(self.bystander.http2.output())
        self.bystander.http2.feed(self.bystander.transport.value())
        self.bystander.transport.clear()
        return self.bystander.http2.answers[stream].messages

    def test_windows_of_nothing(self) -> None:
        client = self.stage.connect(window=0)
        for _ in range(20):
            client.ask("Echo", bytes(50_000))
        self.assertLess(client.connection.unsent, 20 * 60_000)
        client.leave()

    def test_windows_that_overflow(self) -> None:
        self.attack(raw_frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff") * 2)
        self.assert_ended()

    def test_windows_of_streams_that_overflow_cost_only_the_stream(self) -> None:
        stream = self.attacker.http2.request("Keep")
        start = self.attacker.http2.output()
        self.attack(start + raw_frame(WINDOW_UPDATE, 0, stream, b"\x7f\xff\xff\xff") * 2)
        self.assertEqual({}, self.attacker.connection.reception.calls)

    def test_more_than_the_window_allows(self) -> None:
        stream = self.attacker.http2.request("Hear")
        start = self.attacker.http2.output()
        piece = raw_frame(DATA, 0, stream, message(bytes(60_000)))
        self.attack(start + piece * 40)
        self.assertEqual({}, self.attacker.connection.reception.calls)

    def test_frames_with_lengths_that_are_none(self) -> None:
        frames = {
            "a ping of 7": raw_frame(PING, 0, 0, bytes(7)),
            "settings of 5": raw_frame(SETTINGS, 0, 0, bytes(5)),
            "a reset of 3": raw_frame(RST_STREAM, 0, 1, bytes(3)),
            "a window of 0": raw_frame(WINDOW_UPDATE, 0, 0, bytes(4)),
            "an answer to settings that is not empty": raw_frame(SETTINGS, 1, 0, bytes(6)),
            "longer than all": b"\xff\xff\xff\0\0\0\0\0\x01" + bytes(100_000),
            "padding over the end": raw_frame(HEADERS_FRAME, 12, 1, b"\xff\x83"),
            "a push": raw_frame(PUSH_PROMISE, 4, 1, bytes(8)),
            "fields of nobody": raw_frame(HEADERS_FRAME, 4, 0, b"\x83"),
            "a body of nobody": raw_frame(DATA, 0, 0, b"x"),
            "an even stream": raw_frame(HEADERS_FRAME, 5, 2, b"\x83\x86\x44\x02/a"),
            "a body before its request": raw_frame(DATA, 0, 99, b"x"),
            "fields that are no fields": raw_frame(HEADERS_FRAME, 5, 1, b"\xff" * 30),
            "a continuation of nothing": raw_frame(CONTINUATION, 4, 1, b"\x83"),
        }
        for name, frame in frames.items():
            with self.subTest(name):
                self.start()
                self.attack(frame)
                self.assert_ended()
                self.bystander.leave()
        self.start()

    def test_what_is_no_http2(self) -> None:
        for data in (
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            bytes(1000),
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03",
        ):
            with self.subTest(data[:10]):
                self.start()
                self.attacker = self.stage.connect()
                fresh = self.stage.factory.buildProtocol(None)
                fresh.makeConnection(transport := type(self.attacker.transport)())
                fresh.dataReceived(data + bytes(100))
                self.assertTrue(transport.is_closing)
                self.assertEqual(1, sum(self.stage.factory.listener.ended.counts.values()))

    def test_requests_of_unknown_methods_are_answered_and_leave_nothing(self) -> None:
        for _ in range(300):
            self.assertEqual(12, self.attacker.ask("/no.Service/Such", bytes(100)).status)
        self.assertEqual({}, self.attacker.connection.reception.calls)

    def test_content_types_that_are_wrong_are_answered_and_leave_nothing(self) -> None:
        headers = [*HEADERS[:3], (b"content-type", b"text/html"), *HEADERS[4:]]
        for _ in range(300):
            self.assertEqual(b"415", self.attacker.ask(headers=headers).head[b":status"])
        self.assertEqual({}, self.attacker.connection.reception.calls)

    def test_priorities_and_frames_of_unknown_kinds_do_nothing(self) -> None:
        self.attack(raw_frame(PRIORITY, 0, 1, b"\0\0\0\0\x10") * 5_000)
        self.attack(raw_frame(0x77, 0, 0, b"anything") * 5_000)
        self.assertLess(self.attacker.connection.unsent, 1 << 20)

    def test_settings_that_change_all_windows_again_and_again(self) -> None:
        self.start(evolve(RpcLimits(), pings_at_once=1_000_000))
        self.attack(self.requests(90, resets=False))
        frames = [raw_frame(SETTINGS, 0, 0, b"\0\x04\0\0" + bytes([size, 1])) for size in (0, 255)]
        self.attack(b"".join(frames) * 2000)
        self.assertLess(self.attacker.connection.unsent, 1 << 20)

    def test_lines_in_the_log_are_few_however_many_connections_end(self) -> None:
        for _ in range(200):
            client = self.stage.connect()
            self.attack(raw_frame(PING, 0, 0, bytes(7)), client)
            client.leave()
        ended = self.stage.factory.listener.ended
        self.assertEqual(200, ended.counts["broken"])
        self.assertEqual(199, ended._unsaid)

    def test_client_that_leaves_is_not_blamed_for_what_it_says_besides(self) -> None:
        self.assertEqual([b"x"], self.attacker.ask("Echo", b"x").messages)
        opened = raw_frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\x05")
        self.attack(opened + raw_frame(GOAWAY, 0, 0, bytes(8)) + opened)
        self.assertTrue(self.attacker.is_ended)
        self.assertEqual({}, self.stage.factory.listener.ended.counts)

    def test_client_that_leaves_is_answered_first_whatever_it_says_besides(self) -> None:
        waits = self.attacker.ask("Keep")
        opened = raw_frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\x05")
        goaway = raw_frame(GOAWAY, 0, 0, bytes(8) + b"done")
        for piece in (opened, goaway[:5], goaway[5:12], goaway[12:] + opened):
            self.attack(piece)
        self.assertFalse(self.attacker.is_ended)
        self.stage.site.keep.calls[1].reply(b"late")
        self.attacker.pump()
        self.assertEqual([b"late"], waits.messages)
        self.assertTrue(self.attacker.is_ended)
        self.assertEqual({}, self.stage.factory.listener.ended.counts)


class Ngh2HostileTests(HostileContract):
    """With ngh2."""

    __test__ = True

    @staticmethod
    def maker() -> EngineMaker:
        """This one."""
        return Ngh2Engine


class H2HostileTests(HostileContract):
    """With h2."""

    __test__ = True

    @staticmethod
    def maker() -> EngineMaker:
        """This one."""
        return H2Engine
