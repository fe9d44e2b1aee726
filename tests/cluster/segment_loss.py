"""A connection that loses segments: a filter in front of its socket, which the kernel asks about each."""

from __future__ import annotations

import ctypes
import os
import socket
import struct

from modelserver.backends.ray.secure_stream import SecureStream
from tests.cluster.program_driver import LOSS

_ATTACH_FILTER = 26
_RANDOM = 0xFFFFF000 + 56
"""Where a filter finds a random number (``SKF_AD_RANDOM``)."""
_LOAD, _MODULO, _JUMP_IF_GREATER_OR_EQUAL, _RETURN = 0x20, 0x94, 0x35, 0x06


def lose_segments(connection: socket.socket, share: int) -> None:
    """Have the kernel drop ``share`` of a hundred segments that come, data and acknowledgements alike."""
    program = b"".join(
        struct.pack("=HBBI", *words)
        for words in (
            (_LOAD, 0, 0, _RANDOM),
            (_MODULO, 0, 0, 100),
            (_JUMP_IF_GREATER_OR_EQUAL, 1, 0, share),
            (_RETURN, 0, 0, 0),
            (_RETURN, 0, 0, 0xFFFFFFFF),
        )
    )
    memory = ctypes.create_string_buffer(program, len(program))
    connection.setsockopt(
        socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("@HP", len(program) // 8, ctypes.addressof(memory))
    )


def lose_by_environment() -> None:
    """Have every connection between a server and a node lose what the variable says, from this end."""
    share = int(os.environ.get(LOSS, "0"))
    if not share:
        return
    begin = SecureStream.shake_hands

    def shake_hands(stream: SecureStream) -> bool:
        if begin(stream):
            lose_segments(stream.socket, share)
            return True
        return False

    SecureStream.shake_hands = shake_hands  # type: ignore[method-assign,assignment]  # this process is a test's own
