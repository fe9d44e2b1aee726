"""The light client's calls: what leaves as the server lets it, and which answers count."""

from __future__ import annotations

import itertools
import struct
from unittest import TestCase

import hpack
from hypothesis import given
from hypothesis import strategies as st

from bench.client import Tally
from bench.rpc import http2
from bench.rpc.calls import Blocks, Calls
from bench.rpc.client import request_fields
from bench.rpc.messages import framed

Frame = tuple[int, int, int, bytes]
ANSWER = framed(b"x" * 40)
WINDOWS = ((http2.STREAM_WINDOW, 1 << 20), (http2.FRAME_SIZE, 1 << 15))


def frames_of(data: bytes) -> list[Frame]:
    """The frames in some bytes, which are whole."""
    found, at = [], 0
    while at < len(data):
        length, flags, stream = struct.unpack_from(">IBI", data, at)
        at += http2.HEAD + (length >> 8)
        found.append((length & 255, flags, stream, data[at - (length >> 8) : at]))
    return found


class Server:
    """Speaks to calls as a server does, and hears what they send."""

    def __init__(self, body: bytes = b"b" * 100, in_flight: int = 1, most: int = 1000) -> None:
        self.tally, self.now = Tally(200, len(ANSWER)), 0.0
        self.left = most
        self.calls = Calls(
            request_fields(7070, "Predictions"),
            body,
            len(ANSWER),
            in_flight,
            self.tally,
            lambda: self.now,
            self.may_begin,
            1 << 20,
            1 << 20,
        )
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.calls.greet()
        self.greeting = b"".join(self.calls.pieces())

    def may_begin(self) -> bool:
        """Whether there are calls left."""
        self.left -= 1
        return self.left >= 0

    def say(self, kind: int, flags: int, stream: int, contents: bytes = b"") -> None:
        """Send one frame."""
        self.give(http2.head(kind, flags, stream, len(contents)) + contents)

    def give(self, data: bytes) -> None:
        """Send some bytes, which end where a frame does."""
        assert self.calls.receive(memoryview(data)) == len(data)
        self.calls.begin()

    def settings(self, *pairs: tuple[int, int], window: int = 16 << 20) -> None:
        """Send settings, and open the connection's window."""
        self.give(http2.settings(pairs) + http2.window_update(0, window))

    def heard(self) -> list[Frame]:
        """All frames that leave now."""
        data = b""
        while pieces := self.calls.pieces():
            data += b"".join(pieces)
        return frames_of(data)

    def body_of(self, frames: list[Frame], stream: int) -> bytes:
        """What was sent of a body."""
        return b"".join(each for kind, _, of, each in frames if (kind, of) == (http2.DATA, stream))

    def head(self, stream: int, status: str = "200") -> bytes:
        """The beginning of an answer."""
        block = self.encoder.encode([(":status", status), ("content-type", "application/grpc")])
        return http2.head(http2.HEADERS, http2.ENDS_HEADERS, stream, len(block)) + block

    def tail(self, stream: int, status: str = "0") -> bytes:
        """The end of an answer."""
        block = self.encoder.encode([("grpc-status", status)])
        return http2.head(http2.HEADERS, http2.ENDS_HEADERS | http2.ENDS_STREAM, stream, len(block)) + block

    def whole(self, stream: int, body: bytes = ANSWER) -> bytes:
        """A right answer, in two frames of DATA."""
        pieces = (body[:17], body[17:])
        data = b"".join(http2.head(http2.DATA, 0, stream, len(each)) + each for each in pieces)
        return self.head(stream) + data + self.tail(stream)


class SendingTests(TestCase):
    """Requests leave as far as the server has said that it has room."""

    def test_greeting(self) -> None:
        greeting = Server().greeting
        self.assertTrue(greeting.startswith(http2.GREETING))
        said = frames_of(greeting[len(http2.GREETING) :])
        self.assertEqual([each[0] for each in said], [http2.SETTINGS, http2.WINDOW])
        self.assertIn((http2.FRAME_SIZE, 1 << 20), list(struct.iter_unpack(">HI", said[0][3])))

    def test_nothing_is_asked_before_the_server_has_said_its_settings(self) -> None:
        server = Server()
        server.calls.begin()
        self.assertEqual(server.heard(), [])
        server.settings(*WINDOWS)
        self.assertEqual(
            [each[:3] for each in server.heard()],
            [
                (http2.SETTINGS, http2.ACKNOWLEDGES, 0),
                (http2.HEADERS, http2.ENDS_HEADERS, 1),
                (http2.DATA, http2.ENDS_STREAM, 1),
            ],
        )

    def test_fields(self) -> None:
        """The second call's are shorter: both sides remember those of the first."""
        server = Server(in_flight=3)
        server.settings(*WINDOWS)
        blocks = [contents for kind, _, _, contents in server.heard() if kind == http2.HEADERS]
        for block in blocks:
            self.assertEqual(server.decoder.decode(block), request_fields(7070, "Predictions"))
        self.assertEqual(blocks[1], blocks[2])
        self.assertLess(len(blocks[1]), len(blocks[0]))

    def test_frames_are_as_large_as_the_server_takes_them(self) -> None:
        body = bytes(range(256)) * 400
        for largest in (1 << 14, 1 << 15, 1 << 20):
            with self.subTest(largest):
                server = Server(body)
                server.settings((http2.STREAM_WINDOW, 1 << 20), (http2.FRAME_SIZE, largest))
                heard = server.heard()
                sizes = [len(each[3]) for each in heard if each[0] == http2.DATA]
                self.assertEqual(sizes[0], min(largest, len(body)))
                self.assertLessEqual(max(sizes), largest)
                self.assertEqual(server.body_of(heard, 1), body)
                self.assertEqual([each[1] for each in heard if each[0] == http2.DATA][-1], 1)

    def test_a_stream_waits_for_its_window(self) -> None:
        server = Server(b"b" * 100)
        server.settings((http2.STREAM_WINDOW, 30))
        self.assertEqual(len(server.body_of(server.heard(), 1)), 30)
        server.give(http2.window_update(1, 69))
        self.assertEqual(len(server.body_of(server.heard(), 1)), 69)
        server.give(http2.window_update(1, 50))
        self.assertEqual([each[1:] for each in server.heard()], [(http2.ENDS_STREAM, 1, b"b")])

    def test_all_wait_for_the_window_of_the_connection(self) -> None:
        body = b"b" * 50_000
        server = Server(body, in_flight=2)
        server.give(http2.settings(WINDOWS))
        heard = server.heard()
        self.assertEqual((server.body_of(heard, 1), len(server.body_of(heard, 3))), (body, 15_535))
        server.give(http2.window_update(0, 1 << 20))
        self.assertEqual(len(server.body_of(server.heard(), 3)), 34_465)

    def test_another_goes_on_while_one_waits(self) -> None:
        server = Server(b"b" * 100, in_flight=2)
        server.settings((http2.STREAM_WINDOW, 30))
        heard = server.heard()
        self.assertEqual([len(server.body_of(heard, each)) for each in (1, 3)], [30, 30])
        server.give(http2.window_update(3, 70))
        self.assertEqual([each[1:3] for each in server.heard()], [(http2.ENDS_STREAM, 3)])

    def test_windows_that_become_smaller(self) -> None:
        server = Server(b"b" * 100)
        server.settings((http2.STREAM_WINDOW, 30))
        server.heard()
        server.give(http2.settings(((http2.STREAM_WINDOW, 20),)) + http2.window_update(1, 10))
        self.assertEqual(server.body_of(server.heard(), 1), b"")
        server.give(http2.settings(((http2.STREAM_WINDOW, 25),)))
        self.assertEqual(len(server.body_of(server.heard(), 1)), 5)

    @given(st.lists(st.integers(1, 90_000), max_size=8), st.binary(min_size=1, max_size=64))
    def test_any_windows_let_the_same_bytes_through(self, windows: list[int], seed: bytes) -> None:
        body = (seed * 100_000)[:100_000]
        server = Server(body)
        server.settings((http2.STREAM_WINDOW, 0), (http2.FRAME_SIZE, 1 << 15))
        heard = []
        for size in [*windows, len(body)]:
            server.give(http2.window_update(1, size))
            heard += server.heard()
        self.assertEqual(server.body_of(heard, 1), body)
        flags = [each[1] for each in heard if each[0] == http2.DATA]
        self.assertEqual(flags, [0] * (len(flags) - 1) + [http2.ENDS_STREAM])

    def test_no_more_streams_than_the_server_allows(self) -> None:
        server = Server(in_flight=5)
        server.settings((http2.STREAMS, 2), *WINDOWS)
        self.assertEqual(list(server.calls.calls), [1, 3])
        server.give(server.whole(1))
        self.assertEqual(list(server.calls.calls), [3, 5])

    def test_a_server_that_remembers_no_fields(self) -> None:
        server = Server(in_flight=2)
        server.decoder.max_allowed_table_size = 0
        server.settings((http2.TABLE, 0), *WINDOWS)
        for kind, _, _, block in server.heard():
            if kind == http2.HEADERS:
                self.assertEqual(server.decoder.decode(block), request_fields(7070, "Predictions"))

    def test_pings_and_settings_are_acknowledged(self) -> None:
        server = Server(most=0)
        server.settings()
        server.say(http2.PING, 0, 0, b"12345678")
        server.say(http2.PING, http2.ACKNOWLEDGES, 0, b"12345678")
        server.say(http2.SETTINGS, http2.ACKNOWLEDGES, 0)
        said = [(http2.SETTINGS, 1, 0, b""), (http2.PING, 1, 0, b"12345678")]
        self.assertEqual(server.heard(), said)

    def test_the_window_of_answers_is_given_back_at_its_half(self) -> None:
        server = Server(most=0)
        server.settings()
        server.heard()
        given: list[Frame] = []
        size, taken = 1 << 20, 0
        while not given:
            taken += size
            server.calls.receive(memoryview(http2.head(http2.DATA, 0, 99, size)))
            server.calls.skip(size)
            given = server.heard()
        self.assertEqual(given, [(http2.WINDOW, 0, 0, taken.to_bytes(4, "big"))])
        self.assertLess(abs(taken - http2.OWN_WINDOW // 2), size)


class AnswerTests(TestCase):
    """Right answers are counted, and only those."""

    def setUp(self) -> None:
        self.server = Server(most=2)
        self.server.settings(*WINDOWS)
        self.server.heard()

    def check(self, answers: int, errors: dict[str, int]) -> None:
        """Compare what was counted."""
        self.assertEqual((len(self.server.tally.latencies), self.server.tally.errors), (answers, errors))

    @given(st.lists(st.integers(1, 200), max_size=6, unique=True))
    def test_any_cut_of_the_bytes_is_one_answer(self, cuts: list[int]) -> None:
        server = Server(most=2)
        server.settings(*WINDOWS)
        server.now = 0.5
        whole = server.whole(1)
        edges = [0, *sorted(cut for cut in cuts if cut < len(whole)), len(whole)]
        kept = b""
        for begin, end in itertools.pairwise(edges):
            kept += whole[begin:end]
            kept = kept[server.calls.receive(memoryview(kept)) :]
        self.assertEqual((kept, server.tally.latencies, server.tally.errors), (b"", [0.5], {}))

    def test_of_large_pieces_only_the_beginning_is_looked_at(self) -> None:
        server = self.server
        data = server.head(1) + http2.head(http2.DATA, 0, 1, len(ANSWER)) + ANSWER[:5]
        self.assertEqual(server.calls.receive(memoryview(data)), len(data))
        self.assertEqual(server.calls.missing, 40)
        server.calls.skip(40)
        server.give(server.tail(1))
        self.check(1, {})

    def test_another_call_begins_behind_an_answer(self) -> None:
        self.server.give(self.server.whole(1))
        self.assertEqual(self.server.heard()[0][:3], (http2.HEADERS, http2.ENDS_HEADERS, 3))
        self.server.give(self.server.whole(3))
        self.check(2, {})
        self.assertEqual(self.server.calls.calls, {})

    def test_a_status_of_grpc_is_an_error(self) -> None:
        server = self.server
        data = http2.head(http2.DATA, 0, 1, len(ANSWER)) + ANSWER
        server.give(server.head(1) + data + server.tail(1, "8"))
        self.check(0, {"grpc-status 8": 1})

    def test_an_answer_without_a_status_of_grpc_is_an_error(self) -> None:
        data = http2.head(http2.DATA, http2.ENDS_STREAM, 1, len(ANSWER)) + ANSWER
        self.server.give(self.server.head(1) + data)
        self.check(0, {"grpc-status ": 1})

    def test_a_status_of_http_is_an_error(self) -> None:
        self.server.give(self.server.head(1, "503") + self.server.tail(1))
        self.check(0, {"status 503": 1})

    def test_another_length_is_an_error(self) -> None:
        self.server.give(self.server.whole(1, ANSWER + b"!"))
        self.check(0, {"length 46": 1})

    def test_a_compressed_answer_is_an_error(self) -> None:
        self.server.give(self.server.whole(1, b"\1" + ANSWER[1:]))
        self.check(0, {"compressed": 1})

    def test_a_reset_is_an_error(self) -> None:
        self.server.say(http2.RESET, 0, 1, (7).to_bytes(4, "big"))
        self.check(0, {"reset, code 7": 1})

    def test_what_comes_for_a_stream_that_is_over_is_passed_over(self) -> None:
        self.server.give(self.server.whole(1))
        self.server.say(http2.RESET, 0, 1, bytes(4))
        self.server.give(http2.window_update(1, 5))
        self.check(1, {})

    def test_an_answer_before_the_end_of_its_request(self) -> None:
        """The rest is not sent, and the stream is given up."""
        server = Server(b"b" * 100, most=1)
        server.settings((http2.STREAM_WINDOW, 30))
        server.heard()
        server.give(server.head(1) + server.tail(1, "8"))
        self.assertEqual(server.heard(), [(http2.RESET, 0, 1, http2.CANCEL.to_bytes(4, "big"))])
        server.give(http2.window_update(1, 100))
        self.assertEqual((server.heard(), server.tally.errors), ([], {"grpc-status 8": 1}))

    def test_fields_in_two_frames(self) -> None:
        server = self.server
        server.give(server.head(1) + http2.head(http2.DATA, 0, 1, len(ANSWER)) + ANSWER)
        block = server.encoder.encode([("grpc-status", "0"), ("x", "y" * 50)])
        server.say(http2.HEADERS, http2.ENDS_STREAM, 1, block[:7])
        server.say(http2.CONTINUATION, http2.ENDS_HEADERS, 1, block[7:])
        self.check(1, {})

    def test_what_a_server_may_not_send(self) -> None:
        begins = http2.head(http2.HEADERS, 0, 1, 1) + b"\x88"
        for data in (
            http2.head(http2.GOAWAY, 0, 0, 8) + bytes(8),
            http2.head(http2.PUSH, 0, 1, 4) + bytes(4),
            http2.head(http2.DATA, http2.PADDED, 1, 9) + bytes(9),
            http2.head(http2.DATA, 0, 1, (1 << 20) + 1),
            begins + http2.head(http2.PING, 0, 0, 8) + bytes(8),
            begins + http2.head(http2.CONTINUATION, 4, 3, 1) + b"\x88",
            http2.head(http2.HEADERS, http2.ENDS_HEADERS, 1, 1) + b"\xff",
        ):
            with self.subTest(data[:9]):
                server = Server()
                server.settings(*WINDOWS)
                self.assertRaises(ValueError, server.calls.receive, memoryview(data))


class BlockTests(TestCase):
    """Blocks of fields that were read before mean what they mean now."""

    def test_a_block_that_changes_the_table_is_read_each_time(self) -> None:
        encoder, reader = hpack.Encoder(), Blocks()
        first = [encoder.encode([("a", "1")]), encoder.encode([("a", "1")])]
        self.assertEqual([reader.read(each) for each in (*first, first[1])], [{"a": "1"}] * 3)
        # The same bytes, an index, mean another entry once the table has grown.
        self.assertEqual(reader.read(encoder.encode([("b", "2")])), {"b": "2"})
        self.assertEqual(reader.read(first[1]), {"b": "2"})
        self.assertEqual(reader.read(encoder.encode([("a", "1")])), {"a": "1"})
