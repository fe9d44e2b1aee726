"""Parameters of the Open Inference Protocol over gRPC: each is an ``InferParameter`` of its wire format."""

from __future__ import annotations

import struct

from modelserver.protocol.wire_format import Buffer, map_entry, read_varint, signed, spans, text

InferParameter = bool | int | float | str | None
_BOOL, _INT64, _STRING, _DOUBLE, _UINT64 = 0x08, 0x10, 0x1A, 0x21, 0x28


def read_parameter(data: Buffer, start: int, end: int) -> dict[str, InferParameter]:
    """
    Return an entry of a map of parameters; its value is None if it is not set.

    :raises WireInvalid: it is none.
    """
    name, at, stop = map_entry(data, start, end)
    value: InferParameter = None
    for tag, value_at, value_end in spans(data, at, stop):
        if tag == _BOOL:
            value = bool(read_varint(data, value_at, value_end)[0])
        elif tag == _INT64:
            value = signed(read_varint(data, value_at, value_end)[0])
        elif tag == _STRING:
            value = text(data, value_at, value_end)
        elif tag == _DOUBLE:
            (value,) = struct.unpack("<d", data[value_at:value_end])
        elif tag == _UINT64:
            value = read_varint(data, value_at, value_end)[0]
    return {name: value}
