"""
The wire format of protobuf, as far as server and workers read and write messages without the library.

https://protobuf.dev/programming-guides/encoding/
A tag is a field's number, shifted by three, and the kind of its value; tags below 128 are one byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

Buffer = bytes | bytearray | memoryview

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
"""Kinds of values; the others are groups, which proto3 does not have."""
_LONGEST_VARINT = 10
_MASK = (1 << 64) - 1
_BYTES = [bytes((value,)) for value in range(0x80)]
"""The numbers that are one byte: nearly all lengths."""


class WireInvalid(ValueError):
    """The bytes are no message."""


def spans(data: Buffer, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """
    Yield the tag of each field of a message, and where its value starts and ends, behind a length.

    :raises WireInvalid: it is no message.
    """
    while at < end:
        tag = data[at]
        at += 1
        if tag >= 0x80:
            tag, at = read_varint(data, at - 1, end)
        kind = tag & 7
        if kind == LENGTH:
            # Most lengths are one byte; a call for each of them would cost more than all the rest.
            size = data[at] if at < end else 0x80
            at += 1
            if size >= 0x80:
                size, at = read_varint(data, at - 1, end)
            stop = at + size
        elif kind == VARINT:
            _, stop = read_varint(data, at, end)
        elif kind in (FIXED32, FIXED64):
            stop = at + (4 if kind == FIXED32 else 8)
        else:
            raise WireInvalid(f"The request is no message: it has a value of kind {kind}.")
        if stop > end or tag < 8:
            raise WireInvalid("The request is no message: a value leads out of it, or has no number.")
        yield tag, at, stop
        at = stop


def read_varint(data: Buffer, at: int, end: int) -> tuple[int, int]:
    """
    Return the number at a place, of 64 bits without a sign, and where it ends.

    :raises WireInvalid: it does not end.
    """
    value = shift = 0
    for place in range(at, min(end, at + _LONGEST_VARINT)):
        byte = data[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & _MASK, place + 1
        shift += 7
    raise WireInvalid("The request is no message: a number does not end.")


def text(data: Buffer, start: int, end: int) -> str:
    """
    Return a string field.

    :raises WireInvalid: it is no UTF-8.
    """
    try:
        return str(data[start:end], "utf-8")
    except UnicodeDecodeError as error:
        raise WireInvalid("The request is no message: a text is no UTF-8.") from error


def map_entry(data: Buffer, start: int, end: int) -> tuple[str, int, int]:
    """
    Return an entry of a map from names to values with lengths: the name, and where the value is.

    :raises WireInvalid: it is none.
    """
    name, value_start, value_end = "", end, end
    for tag, at, stop in spans(data, start, end):
        if tag == 0x0A:
            name = text(data, at, stop)
        elif tag == 0x12:
            value_start, value_end = at, stop
    return name, value_start, value_end


def signed(value: int) -> int:
    """Return a number as int64 reads it."""
    return value - (1 << 64) if value >> 63 else value


def varint(value: int) -> bytes:
    """Return a number as it is written; one below 0 as int32 and int64 write it."""
    if 0 <= value < 0x80:
        return _BYTES[value]
    value &= _MASK
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def length_field(number: int, value: Buffer) -> bytes:
    """Return a field with a length: bytes, a message, or packed numbers."""
    return b"".join((varint(number << 3 | LENGTH), varint(len(value)), value))


def text_field(number: int, value: str) -> bytes:
    """Return a string field; nothing for an empty one, as proto3 has it."""
    return length_field(number, value.encode("utf-8", "replace")) if value else b""


def varint_field(number: int, value: int) -> bytes:
    """Return a field that is a number, also one that is 0."""
    return varint(number << 3 | VARINT) + varint(value)


def packed_varints(values: Iterable[int]) -> bytes:
    """Return numbers as the value of a packed field."""
    return b"".join([bytes((value,)) if 0 <= value < 0x80 else varint(value) for value in values])
