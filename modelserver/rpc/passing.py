"""Which calls bypass the HTTP/2 engine with their bodies, which are read to where workers will read them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from struct import Struct

from modelserver.language.attributes import define
from modelserver.rpc.call import ServerCall
from modelserver.rpc.http2 import Http2Limits, data_head, window_update
from modelserver.rpc.large_message import LargeMessage

FRAME_HEAD = 9
SHORTEST = 1024
"""Bytes of a frame from which on it is worth it; a flood of short ones is for the engine to count."""
LARGEST = 1 << 30
"""Bytes of a message by which a client's window may be opened at once (RFC 9113, 6.9.1: below 2 GiB)."""
DATA, HEADERS, END_STREAM = 0, 1, 1
Head = tuple[bytes]
head_at: Callable[[bytes | memoryview, int], Head] = Struct(f"{FRAME_HEAD}s").unpack_from
"""Returns the head of the frame that begins at a place."""
MADE_UP = bytes(1 << 14)
"""For the engine, in the stead of bytes that it has missed: as much as fits into any peer's frames."""


def frame_length(data: bytes | bytearray, at: int) -> int:
    """Return the length that the head of a frame says."""
    return data[at] << 16 | data[at + 1] << 8 | data[at + 2]


def stream_at(data: bytes | bytearray, at: int) -> int:
    """Return the stream that the head of a frame says."""
    return int.from_bytes(data[at + 5 : at + FRAME_HEAD], "big")


@define(eq=False)
class Passage:
    """
    How far the body of one call has come.

    :param large: its message.
    :ivar taken: bytes that have gone past the engine, and are not counted yet.
    :ivar missed: those that are counted.
    :ivar head: of the frame that came last: most of a body's are alike.
    :ivar size: bytes of the body in such a frame.
    """

    call: ServerCall
    large: LargeMessage
    taken: int = 0
    missed: int = 0
    head: Head = (b"",)
    size: int = 0


class Passing:
    """
    The calls whose bodies go past the engine, and the windows that are opened for them.

    :param memory: all that has places for messages.
    :ivar calls: by stream.
    :ivar alike: by the heads of the frames that came last.
    :ivar updates: frames that open the client's windows, to be sent between two frames of the engine's.
    :ivar begun: told of each call.
    """

    __slots__ = ("_limits", "_owed", "alike", "begun", "calls", "memory", "updates")

    def __init__(self, limits: Http2Limits, memory: memoryview) -> None:
        self._limits = limits
        self.memory = memory
        self.begun: Callable[[], object] = _nobody
        self._owed = 0
        """Bytes by which the connection's window is to be opened."""
        self.calls: dict[int, Passage] = {}
        self.alike: dict[Head, Passage] = {}
        self.updates = b""

    def expect(self, call: ServerCall, large: LargeMessage) -> None:
        """
        Let what is missing of a call's message go past the engine.

        It has a place, so that its client may send all of it.
        """
        said, missing = call.known.get(b"content-length"), large.missing
        if missing > LARGEST or said not in (None, b"%d" % (call.received + missing)):
            return  # a wrong length is for the engine to refuse
        call.is_measured = said is not None
        self.calls[call.stream] = Passage(call, large)
        self.begun()
        if call.received + missing > self._limits.window:
            self.updates += window_update(call.stream, missing)

    def expect_alike(self, passage: Passage, head: Head, size: int) -> None:
        """Expect more frames with the head of one that may pass, which has so many bytes of the body."""
        self.alike.pop(passage.head, None)
        passage.head, passage.size = head, size
        self.alike[head] = passage

    def forget(self, stream: int) -> None:
        """Let nothing more pass of a call."""
        passage = self.calls.pop(stream, None)
        if passage is not None:
            self.alike.pop(passage.head, None)

    def clear(self) -> None:
        """Forget all calls."""
        self.calls.clear()
        self.alike.clear()

    def passed(self, size: int) -> None:
        """Count bytes that the engine has not seen."""
        self._owed += size
        if self._owed >= self._limits.connection_window // 4:
            self.updates += window_update(0, self._owed)
            self._owed = 0

    def passage_of(self, data: bytes | bytearray, at: int) -> Passage | None:
        """Return the one on which the frame that begins at a place goes past the engine, or None."""
        passage = self.calls.get(stream_at(data, at))
        flags = data[at + 4]
        if passage is None or data[at + 3] != DATA or flags > END_STREAM:
            return None
        call = passage.call
        if call.is_over and not call.is_measured:  # else the engine would miss bytes, and not send the answer
            return None
        length, missing = frame_length(data, at), passage.large.missing
        fits = length == missing if flags else SHORTEST <= length <= missing
        return passage if fits and length <= self._limits.frame else None

    def ended_by(self, data: bytes | bytearray, at: int) -> Passage | None:
        """
        Return the one that the frame that begins at a place ends, if the engine knows the length of its body.

        Whether what is in the frame fits can be told once all frames before it are read.
        """
        if data[at + 3] > HEADERS or not data[at + 4] & END_STREAM:
            return None
        passage = self.calls.get(stream_at(data, at))
        return passage if passage is not None and passage.call.is_measured else None

    def make_up(self, passage: Passage) -> Iterator[bytes]:
        """
        Return frames with as many bytes as the engine has missed of a body, of which it is to read the end.

        It opens the connection's window by them, as was done already: what comes next makes up for that.
        """
        call, left = passage.call, passage.missed
        self.forget(call.stream)
        call.is_measured = False
        self._owed -= left
        while left:
            piece = MADE_UP[:left]
            left -= len(piece)
            yield data_head(call.stream, len(piece)) + piece


def _nobody() -> None:
    """Stand in for who is to be told of calls."""
