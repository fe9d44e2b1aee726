"""Messages in a body, and their codings."""

from __future__ import annotations

from unittest import TestCase

from hypothesis import given
from hypothesis import strategies as st

from modelserver.errors import BadRequest, BodyTooLarge
from modelserver.rpc.wire.codings import CODINGS, IDENTITY, decode, encode
from modelserver.rpc.wire.messages import PREFIX, MessageCutter, frame, frames_behind, prefix

LARGEST = 1 << 20


class CutterTests(TestCase):
    """A body, cut into messages."""

    @given(st.lists(st.tuples(st.integers(0, 1), st.binary(max_size=6000)), max_size=8), st.data())
    def test_messages_come_out_however_the_body_is_cut(
        self, messages: list[tuple[int, bytes]], data: st.DataObject
    ) -> None:
        body = b"".join(frame(message, flag) for flag, message in messages)
        cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=12)))
        cutter, found = MessageCutter(LARGEST), []
        for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True):
            found += cutter.feed(body[start:end])
        self.assertEqual(messages, found)
        self.assertFalse(cutter.is_partial)

    @given(st.binary(min_size=1, max_size=3000), st.integers(1, 3004))
    def test_what_is_not_whole_is_known_to_be_so(self, message: bytes, cut: int) -> None:
        body = frame(message)
        cutter = MessageCutter(LARGEST)
        found = cutter.feed(body[: min(cut, len(body) - 1)])
        self.assertEqual(([], True), (found, cutter.is_partial))

    def test_a_message_that_comes_byte_by_byte_takes_little_more_than_itself(self) -> None:
        cutter = MessageCutter(LARGEST)
        for byte in frame(bytes(10_000))[:-1]:
            cutter.feed(bytes([byte]))
        self.assertLess(len(cutter._parts), 5)

    def test_one_that_is_too_large_is_known_by_its_length(self) -> None:
        with self.assertRaises(BodyTooLarge):
            MessageCutter(100).feed(prefix(101))
        self.assertEqual([(0, bytes(100))], MessageCutter(100).feed(frame(bytes(100))))

    def test_flags_that_are_none(self) -> None:
        for flag in (2, 128, 255):
            with self.assertRaises(BadRequest):
                MessageCutter(100).feed(bytes([flag]) + bytes(PREFIX - 1))


class FramesTests(TestCase):
    """Several messages at once."""

    @given(st.lists(st.binary(max_size=3), min_size=1, max_size=8))
    def test_each_is_what_comes_ahead_and_its_rest(self, rests: list[bytes]) -> None:
        found = MessageCutter(LARGEST).feed(
            frames_behind(lambda size: b"a" * size + b":", rests, set(map(len, rests)))
        )
        self.assertEqual([(0, b"a" * len(rest) + b":" + rest) for rest in rests], found)


class CodingTests(TestCase):
    """Compressed messages."""

    @given(st.sampled_from(sorted(CODINGS - {IDENTITY})), st.binary(max_size=3000))
    def test_there_and_back(self, coding: bytes, message: bytes) -> None:
        self.assertEqual(message, decode(encode(message, coding), coding, LARGEST))

    def test_no_more_is_unpacked_than_may_be(self) -> None:
        packed = encode(bytes(1_000_000), b"gzip")
        with self.assertRaises(BodyTooLarge):
            decode(packed, b"gzip", 999_999)
        self.assertEqual(1_000_000, len(decode(packed, b"gzip", 1_000_000)))

    def test_what_is_broken_cut_off_or_followed_by_something(self) -> None:
        packed = encode(b"hello" * 100, b"deflate")
        for data in (b"", packed[:-1], packed + b"\0", b"\xff" * 20):
            with self.subTest(data[:5]), self.assertRaises(BadRequest):
                decode(data, b"deflate", LARGEST)
