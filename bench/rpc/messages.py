"""The messages that the bench sends and expects, written by hand: it needs no protobuf for two of them."""

from __future__ import annotations

import struct

SERVICE = "org.pytorch.serve.grpc.inference.InferenceAPIsService"
KEY = "body"
"""The input's name: what the handlers of the bench read, over HTTP and over gRPC."""
_BYTES = 2
"""Protobuf's wire type of strings, bytes and messages."""


def field(number: int, value: bytes) -> bytes:
    """One field of a message."""
    return varint(number << 3 | _BYTES) + varint(len(value)) + value


def varint(number: int) -> bytes:
    """A number in protobuf's variable length."""
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def request(model: str, body: bytes) -> bytes:
    """A ``PredictionsRequest``."""
    entry = field(1, KEY.encode()) + field(2, body)
    return field(1, model.encode()) + field(3, entry)


def answer(prediction: bytes) -> bytes:
    """A ``PredictionResponse``."""
    return field(1, prediction)


def prediction_of(message: bytes) -> bytes:
    """
    The prediction of a ``PredictionResponse`` that has nothing else.

    :raises ValueError: it is not of that shape.
    """
    if not message:
        return b""
    length = shift = 0
    for place, byte in enumerate(message[1:], 1):
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            if message[0] == 1 << 3 | _BYTES and len(message) == place + 1 + length:
                return message[place + 1 :]
            break
    raise ValueError(f"no PredictionResponse: {message[:40]!r}")


def framed(message: bytes) -> bytes:
    """A message as it goes over HTTP/2: not compressed, with its length."""
    return struct.pack(">BI", 0, len(message)) + message
