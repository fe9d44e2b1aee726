"""Header fields: metadata, time limits, the texts of ends."""

from __future__ import annotations

from unittest import TestCase
from urllib.parse import unquote

from hypothesis import given
from hypothesis import strategies as st

from modelserver.errors import BadRequest
from modelserver.rpc.codes import CallRefused, Code, Metadatum
from modelserver.rpc.wire.fields import (
    LONGEST_MESSAGE,
    check,
    fields_of,
    header_block_of,
    http_refusal,
    metadata_of,
    new_lines,
    percent,
    size_of,
    timeout_of,
)


class TimeoutTests(TestCase):
    """``grpc-timeout``."""

    def test_units(self) -> None:
        for value, seconds in (
            (b"1H", 3600.0),
            (b"2M", 120.0),
            (b"3S", 3.0),
            (b"4m", 0.004),
            (b"5u", 5e-6),
            (b"6n", 6e-9),
            (b"99999999H", 99999999 * 3600.0),
            (b"0S", 0.0),
        ):
            self.assertAlmostEqual(seconds, timeout_of(value))

    def test_what_is_none(self) -> None:
        for value in (
            b"",
            b"1",
            b"S",
            b"1s",
            b"1 S",
            b" 1S",
            b"1S ",
            b"-1S",
            b"+1S",
            b"1.5S",
            b"123456789S",
            b"1SS",
        ):
            with self.subTest(value), self.assertRaises(BadRequest):
                timeout_of(value)


class TextTests(TestCase):
    """``grpc-message``."""

    @given(st.text(max_size=300))
    def test_any_text_comes_back(self, text: str) -> None:
        coded = percent(text)
        self.assertTrue(all(0x20 <= byte <= 0x7E for byte in coded))
        self.assertEqual(text.encode("utf-8", "replace").decode(), unquote(coded.decode("ascii")))

    def test_a_long_one_is_cut_between_characters(self) -> None:
        for shift in range(4):
            coded = percent("a" * shift + "\n" * 5000)
            self.assertLessEqual(len(coded), LONGEST_MESSAGE + 3)
            self.assertEqual("a" * shift, unquote(coded.decode()).rstrip(".").replace("\n", ""))


class MetadataTests(TestCase):
    """Fields as metadata, and back."""

    def test_what_is_http2s_and_grpcs_own_is_left_out(self) -> None:
        pairs = [
            (b":path", b"/a"),
            (b"te", b"trailers"),
            (b"content-type", b"application/grpc"),
            (b"grpc-timeout", b"1S"),
            (b"grpc-trace-bin", b"AA"),
            (b"authorization", b"Bearer x"),
        ]
        self.assertEqual([("grpc-trace-bin", b"\0"), ("authorization", "Bearer x")], metadata_of(pairs))
        self.assertEqual(
            b"grpc-trace-bin: AA\r\nauthorization: Bearer x\r\n", header_block_of(pairs, new_lines())
        )

    def test_binary_values_with_and_without_padding_and_several_in_one(self) -> None:
        pairs = [(b"a-bin", b"AQ=="), (b"a-bin", b"AQ"), (b"a-bin", b"AQ, Ag==,Aw")]
        values = [value for _, value in metadata_of(pairs)]
        self.assertEqual([b"\1", b"\1", b"\1", b"\2", b"\3"], values)

    def test_binary_values_that_are_none(self) -> None:
        for value in (b"!", b"A", b"AA=A", b"A\xc3A"):
            with self.subTest(value), self.assertRaises(BadRequest):
                metadata_of([(b"a-bin", value)])

    @given(st.lists(st.tuples(st.from_regex(r"[a-z0-9_.]{1,9}-bin", fullmatch=True), st.binary(max_size=50))))
    def test_binary_values_come_back(self, pairs: list[tuple[str, bytes]]) -> None:
        given_pairs: list[Metadatum] = [pair for pair in pairs if not pair[0].startswith("grpc-")]
        self.assertEqual(given_pairs, metadata_of(fields_of(given_pairs)))

    def test_what_http2_cannot_carry_is_left_out(self) -> None:
        names: list[Metadatum] = [("a b", "x"), ("", "x"), (":a", "x"), ("grpc-status", "0")]
        bad = [*names, ("a", "ü"), ("a", "1\r\n2")]
        self.assertEqual([(b"x-a", b"1")], fields_of([*bad, ("X-A", " 1 ")]))


class CheckTests(TestCase):
    """What is no call, and what is one too many."""

    KNOWN = {b":method": b"POST", b"content-type": b"application/grpc"}

    def test_a_call(self) -> None:
        self.assertIsNone(http_refusal(self.KNOWN))
        check(self.KNOWN, list(self.KNOWN.items()), 1000)

    def test_what_is_no_call(self) -> None:
        self.assertEqual(405, http_refusal({**self.KNOWN, b":method": b"GET"}))
        self.assertEqual(415, http_refusal({b":method": b"POST"}))
        self.assertEqual(415, http_refusal({**self.KNOWN, b"content-type": b"application/grpc-web+proto"}))

    def test_sizes_are_as_http2_counts_them(self) -> None:
        pairs = [(b"ab", b"cde")]
        self.assertEqual(37, size_of(pairs))
        check(self.KNOWN, pairs, 37)
        with self.assertRaises(CallRefused) as caught:
            check(self.KNOWN, pairs, 36)
        self.assertEqual(Code.RESOURCE_EXHAUSTED, caught.exception.status.code)

    def test_a_coding_that_is_not_known(self) -> None:
        with self.assertRaises(CallRefused) as caught:
            check({**self.KNOWN, b"grpc-encoding": b"zstd"}, [], 1000)
        self.assertEqual(Code.UNIMPLEMENTED, caught.exception.status.code)
