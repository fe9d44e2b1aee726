"""The wire format of protobuf, beside the library that defines it."""

from __future__ import annotations

from unittest import TestCase

from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from modelserver.protocol.wire_format import (
    WireInvalid,
    length_field,
    map_entry,
    packed_varints,
    read_varint,
    signed,
    spans,
    text,
    text_field,
    varint,
    varint_field,
)
from tests.harness.rpc_messages import type_of

WHOLE = st.integers(-(1 << 63), (1 << 63) - 1)


def read(data: bytes) -> dict[int, list[object]]:
    """Return the values of a PredictionsRequest, by tag, in the way in which a server reads it."""
    found: dict[int, list[object]] = {}
    for tag, start, end in spans(data, 0, len(data)):
        if tag in (0x0A, 0x12, 0x22):
            found.setdefault(tag, []).append(text(data, start, end))
        elif tag == 0x1A:
            name, at, stop = map_entry(data, start, end)
            found.setdefault(tag, []).append((name, data[at:stop]))
    return found


class ReadTests(TestCase):
    """``spans`` and what reads single values."""

    @given(st.text(), st.text(), st.dictionaries(st.text(), st.binary(max_size=300)), st.none() | st.text())
    def test_what_the_library_writes_is_read(
        self, name: str, version: str, inputs: dict[str, bytes], sequence: str | None
    ) -> None:
        request = type_of("inference.PredictionsRequest")(
            model_name=name, model_version=version, input=inputs, sequence_id=sequence
        )
        found = read(request.SerializeToString())
        self.assertEqual(found.get(0x0A, [""])[-1], name)
        self.assertEqual(found.get(0x12, [""])[-1], version)
        self.assertEqual(dict(found.get(0x1A, [])), inputs)  # type: ignore[arg-type]  # pairs
        self.assertEqual(found.get(0x22, [None])[-1], sequence)

    @given(st.binary(max_size=60))
    def test_what_the_library_reads_is_read_and_nothing_leads_out(self, data: bytes) -> None:
        try:
            known = type_of("inference.PredictionsRequest").FromString(data)
        except DecodeError:
            known = None
        try:
            found = read(data)
        except WireInvalid:
            # Groups, which the library skips, have been out of use since proto2.
            self.assertTrue(known is None or any(byte & 7 in (3, 4) for byte in data))
            return
        if known is not None:
            self.assertEqual(found.get(0x0A, [""])[-1], known.model_name)
            self.assertEqual(dict(found.get(0x1A, [])), dict(known.input))  # type: ignore[arg-type]  # pairs

    def test_damage_is_refused(self) -> None:
        for what, data in (
            ("a length that leads out", b"\x0a\x05abc"),
            ("a length that is missing", b"\x0a"),
            ("a number that does not end", b"\x08" + b"\xff" * 10),
            ("a number that is cut off", b"\x08\x80"),
            ("a fixed value that is cut off", b"\x0d\x00\x00"),
            ("a group", b"\x0b\x0c"),
            ("an unknown kind", b"\x0e"),
            ("the field 0", b"\x02\x00"),
            ("a length that overflows", b"\x0a" + b"\xff" * 9 + b"\x01"),
        ):
            with self.subTest(what), self.assertRaises(WireInvalid):
                list(spans(data, 0, len(data)))

    def test_text_is_utf8(self) -> None:
        with self.assertRaises(WireInvalid):
            text(b"\xff", 0, 1)

    def test_message_in_shared_memory(self) -> None:
        data = memoryview(bytearray(b"\x0a\x04noop"))
        ((tag, start, end),) = spans(data, 0, len(data))
        self.assertEqual((tag, text(data, start, end)), (0x0A, "noop"))


class WriteTests(TestCase):
    """What is written can be read."""

    @given(WHOLE)
    def test_numbers(self, value: int) -> None:
        written = varint(value)
        self.assertEqual(signed(read_varint(written, 0, len(written))[0]), value)

    @given(st.lists(WHOLE), st.text(), st.booleans())
    def test_the_library_reads_what_is_written(self, shape: list[int], name: str, flag: bool) -> None:
        written = text_field(1, name) + length_field(3, packed_varints(shape))
        tensor = type_of("oip.ModelInferRequest.InferInputTensor").FromString(written)
        self.assertEqual((tensor.name, list(tensor.shape)), (name, shape))
        self.assertEqual(type_of("oip.InferParameter").FromString(varint_field(1, flag)).bool_param, flag)
