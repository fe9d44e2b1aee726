"""Frames on a socket: a stream of bytes is cut into frames, pieces of frames are written."""

from __future__ import annotations

import mmap
import socket
from collections.abc import Iterator
from typing import Protocol

from modelserver.protocol.frames import HEADER, SMALL, Frame, FrameError, Pieces, frame_of

LARGE_BUFFER = 1 << 20
"""Bytes of a buffer, from which on the system is asked for its pages one by one."""


class Fillable(Protocol):
    """What frames are read from: a socket."""

    def recv_into(self, buffer: memoryview, /) -> int: ...


def _memory(size: int) -> bytearray | mmap.mmap:
    """Return a buffer, which takes memory as it is filled: what a frame announces may never come."""
    if size <= LARGE_BUFFER:
        return bytearray(size)
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


class FrameReader:
    """
    Cuts a byte stream into frames, in one buffer that is kept and grows to the largest frame.

    :param largest: a frame that claims to be larger is refused, in bytes.
    """

    def __init__(self, largest: int = 1 << 31, size: int = 1 << 16) -> None:
        self._largest = largest
        self._buffer: bytearray | mmap.mmap = bytearray(size)
        self._view = memoryview(self._buffer)
        self._low = self._high = 0

    @property
    def is_empty(self) -> bool:
        """Whether no byte is waiting."""
        return self._low == self._high

    def fill(self, source: Fillable) -> int:
        """Receive once into the buffer; 0 at the end of the stream. Views given out before are void."""
        if self._low == self._high:
            self._low = self._high = 0
        elif self._high == len(self._buffer):
            self._make_room()
        received = source.recv_into(self._view[self._high :])
        self._high += received
        return received

    def _make_room(self) -> None:
        wanted = self._wanted()
        rest = bytes(self._view[self._low : self._high])
        if wanted > len(self._buffer) or self._low == 0:
            self._buffer = _memory(max(wanted, 2 * len(self._buffer)))
            self._view = memoryview(self._buffer)
        self._buffer[: len(rest)] = rest
        self._low, self._high = 0, len(rest)

    def _wanted(self) -> int:
        if self._high - self._low < HEADER.size:
            return HEADER.size
        return HEADER.size + int(HEADER.unpack_from(self._buffer, self._low)[0])

    def next(self) -> Frame | None:
        """
        The next whole frame, or None.

        :raises FrameError: the frame is larger than allowed.
        """
        low = self._low
        waiting = self._high - low
        if waiting < 16:
            return None
        size, kind, flags, count, number = HEADER.unpack_from(self._buffer, low)
        if size > self._largest:
            raise FrameError(f"a frame of {size} bytes")
        if waiting < 16 + size:
            return None
        self._low = end = low + 16 + size
        return frame_of((kind, flags, count, number, self._view[low + 16 : end]))

    def whole(self, frame: Frame) -> memoryview:
        """Return the bytes of the frame that ``next`` has returned last, its header with it."""
        return self._view[self._low - HEADER.size - len(frame.payload) : self._low]

    def __iter__(self) -> Iterator[Frame]:
        """All whole frames that are here."""
        while (frame := self.next()) is not None:
            yield frame

    def wait(self, source: socket.socket) -> Frame:
        """
        Block until a frame is here.

        :raises EOFError: the other side closed.
        """
        while (frame := self.next()) is None:
            if not self.fill(source):
                raise EOFError
        return frame


def send_all(target: socket.socket, pieces: Pieces) -> None:
    """Write all pieces to a blocking socket, as few calls as it takes."""
    total = sum(map(len, pieces))
    if total < SMALL:
        target.sendall(b"".join(pieces))
        return
    while pieces:
        sent = target.sendmsg(pieces[:1000])
        pieces = unsent(pieces, sent)


def unsent(pieces: Pieces, sent: int) -> Pieces:
    """What is left of ``pieces`` after ``sent`` bytes."""
    for index, piece in enumerate(pieces):
        if sent < len(piece):
            return [memoryview(piece)[sent:], *pieces[index + 1 :]]
        sent -= len(piece)
    return []
