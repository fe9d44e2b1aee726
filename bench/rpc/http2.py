"""What the light client says and reads of HTTP/2 (RFC 9113): frames as bytes, none of them an object."""

from __future__ import annotations

import struct
from collections.abc import Sequence

DATA, HEADERS, RESET, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 3, 4, 5, 6, 7, 8, 9
"""Kinds of frames."""
ENDS_STREAM, ENDS_HEADERS, PADDED, HAS_PRIORITY, ACKNOWLEDGES = 1, 4, 8, 32, 1
"""Flags."""
TABLE, PUSHES, STREAMS, STREAM_WINDOW, FRAME_SIZE = 1, 2, 3, 4, 5
"""Settings."""
CANCEL = 8
"""The code that says that nobody wants a stream's answer any more."""
HEAD = 9
"""Bytes of a frame's head."""
FRAME, WINDOW_AT_FIRST = 1 << 14, (1 << 16) - 1
"""A frame's contents, and bytes that are on their way, at most, before anything else is said."""
LARGEST_WINDOW = (1 << 31) - 1
OWN_WINDOW = (1 << 30) - 1
"""What the client lets each stream send, and all of them together: as much as h2load by itself."""
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
Piece = bytes | memoryview


def head(kind: int, flags: int, stream: int, size: int) -> bytes:
    """What comes before the contents of a frame."""
    return size.to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big")


def settings(pairs: Sequence[tuple[int, int]]) -> bytes:
    """A frame that says settings."""
    return head(SETTINGS, 0, 0, 6 * len(pairs)) + b"".join(struct.pack(">HI", *pair) for pair in pairs)


def window_update(stream: int, size: int) -> bytes:
    """A frame that lets the other side send so many bytes more."""
    return head(WINDOW, 0, stream, 4) + size.to_bytes(4, "big")


def cancel(stream: int) -> bytes:
    """A frame that gives up a stream."""
    return head(RESET, 0, stream, 4) + CANCEL.to_bytes(4, "big")


def number(contents: bytes | memoryview, at: int = 0) -> int:
    """The number of 31 bits at a place: an increment, a stream, or a code."""
    return int.from_bytes(contents[at : at + 4], "big") & LARGEST_WINDOW


class Body:
    """
    The body of every call as DATA frames, prepared once: of a call, only the stream's number is its own.

    So a call that the windows have room for leaves in one piece. Where they have less, frames are cut.

    :param body: what is sent; not empty.
    :param frame: bytes of a frame's contents.
    """

    def __init__(self, body: bytes, frame: int) -> None:
        self.size = len(body)
        self._frame = frame
        self._whole = HEAD + frame
        frames = bytearray()
        for at in range(0, len(body), frame):
            piece = body[at : at + frame]
            flags = ENDS_STREAM if at + len(piece) == self.size else 0
            frames += head(DATA, flags, 0, len(piece)) + piece
        self._frames = frames
        self._view = memoryview(frames)
        self._count = -(-self.size // frame)
        self._stream = 0

    def pieces(self, stream: int, at: int, most: int) -> tuple[list[Piece], int]:
        """
        The frames that go on with the body from a place, and where they end.

        They are good until this is asked for another stream.

        :param most: bytes that may leave; at least one.
        """
        frame, within = self._frame, at % self._frame
        if not within:
            last = self.size if at + most >= self.size else (at + most) // frame * frame
            if last > at:
                self._number(stream)
                end = len(self._frames) if last == self.size else last // frame * self._whole
                return [self._view[at // frame * self._whole : end]], last
        size = min(most, frame - within, self.size - at)
        flags = ENDS_STREAM if at + size == self.size else 0
        begin = at // frame * self._whole + HEAD + within
        return [head(DATA, flags, stream, size), self._view[begin : begin + size]], at + size

    def _number(self, stream: int) -> None:
        """Write a stream's number into all heads."""
        if stream != self._stream:
            self._stream = stream
            for place, byte in enumerate(stream.to_bytes(4, "big"), HEAD - 4):
                self._frames[place :: self._whole] = bytes((byte,)) * self._count
