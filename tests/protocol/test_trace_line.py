"""The line that makes a request's span the parent of its handler's call, and what a worker makes of it."""

from __future__ import annotations

from unittest import TestCase

from modelserver.child.data.decoder import Decoded, Decoder
from modelserver.protocol.frames import TRACED, Item
from modelserver.protocol.trace_line import LENGTH, ends_with_one, trace_line

CLIENT = b"Content-Type: text/plain\r\ntraceparent: 00-1\r\nX-A: 1\r\n"


class TraceLineTests(TestCase):
    """It is known by its length and its place, and read once for all requests."""

    def test_it_is_found_at_the_end_alone(self) -> None:
        line = trace_line(5, 7)
        self.assertEqual(LENGTH, len(line))
        for block, is_found in (
            (line, True),
            (CLIENT + line, True),
            (line + CLIENT, False),
            (CLIENT, False),
            (b"", False),
            (line[1:], False),
            (b"X: " + line, False),
            (CLIENT + line[:20] + b"\r\n" + line[22:], False),
        ):
            self.assertEqual(is_found, ends_with_one(block), block)

    def test_headers_before_it_are_remembered_and_it_counts_for_itself(self) -> None:
        decoder = Decoder(True)
        decoder.head(CLIENT)
        for number in (1, 2):
            block = CLIENT + trace_line(number, 7)
            head = decoder.head(block)
            self.assertEqual("text/plain", head.content_type)
            item = Item(bytes(16), block, b"", b"x", TRACED)
            headers = decoder.headers(head, item, None)
            self.assertEqual(trace_line(number, 7)[13:-2].decode(), headers["traceparent"])
            self.assertEqual("1", headers["X-A"])
            self.assertEqual({"body": "x"}, decoder.row(head, item).row)
        self.assertEqual({CLIENT}, set(decoder._heads))
        self.assertEqual("00-1", decoder.head(CLIENT).headers(CLIENT)["traceparent"])

    def test_body_of_a_traced_request_is_as_opaque_as_that_of_others(self) -> None:
        decoder, block = Decoder(True), b"Content-Type: image/png\r\n"
        rows = [
            decoder.row(decoder.head(head), Item(bytes(16), head, b"", b"x", flags))
            for head, flags in ((block, 0), (block + trace_line(1, 7), TRACED))
        ]
        self.assertEqual([Decoded({"body": bytearray(b"x")})] * 2, rows)
