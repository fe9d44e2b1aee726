"""What a client sends, frame by frame: large messages go past the HTTP/2 engine, all else through it."""

from __future__ import annotations

from typing import Protocol

from modelserver.rpc.call import ServerCall
from modelserver.rpc.http2 import Http2Engine, Http2Limits, window_update

MOST_EVENTS = 1000
"""Events of one connection in one turn: what one client sends may not keep the others waiting."""
STEP = 16 << 10
"""Bytes that are read before events are counted; more while there are few."""
FEW_EVENTS = 16
FRAME_HEAD = 9
PREFACE = 24
"""Bytes of what a client says before its first frame."""
SHORTEST = 1024
"""Bytes of a frame from which on it is worth it; a flood of short ones is for the engine to count."""
LARGEST = 1 << 30
"""Bytes of a message by which a client's window may be opened at once (RFC 9113, 6.9.1: below 2 GiB)."""
_DATA = 0


class Passing:
    """
    The calls whose bodies go past the engine, and the windows that are opened for them.

    :ivar calls: by stream.
    :ivar updates: frames that open the client's windows, to be sent between two frames of the engine's.
    """

    __slots__ = ("_limits", "_owed", "calls", "updates")

    def __init__(self, limits: Http2Limits) -> None:
        self._limits = limits
        self._owed = 0
        """Bytes by which the connection's window is to be opened."""
        self.calls: dict[int, ServerCall] = {}
        self.updates = b""

    def expect(self, call: ServerCall, missing: int) -> None:
        """
        Let what is missing of a call's message go past the engine.

        It has a place, so that its client may send all of it.
        """
        if missing > LARGEST or b"content-length" in call.known:  # the engine would miss the bytes
            return
        self.calls[call.stream] = call
        if call.received + missing > self._limits.window:
            self.updates += window_update(call.stream, missing)

    def passed(self, size: int) -> None:
        """Count bytes that the engine has not seen."""
        self._owed += size
        if self._owed >= self._limits.connection_window // 8:
            self.updates += window_update(0, self._owed)
            self._owed = 0

    def may_pass(self, data: bytes, at: int) -> ServerCall | None:
        """Return the call for which the frame that begins at a place goes past the engine, or None."""
        call = self.calls.get(int.from_bytes(data[at + 5 : at + FRAME_HEAD], "big"))
        if call is None or call.is_over or call.large is None or data[at + 3] != _DATA or data[at + 4]:
            return None
        length = frame_length(data, at)
        fits = SHORTEST <= length <= min(call.large.missing, self._limits.frame)
        return call if fits else None


class LargeCalls(Protocol):
    """Whose bodies go past the engine."""

    passing: Passing

    def large_came(self, call: ServerCall, size: int) -> None:
        """Count bytes that lie where the worker will read them."""

    def take_cost(self) -> int:
        """Return how much was done since the last time beyond what came, as a count of events."""


def frame_length(data: bytes, at: int) -> int:
    """Return the length that the head of a frame says."""
    return data[at] << 16 | data[at + 1] << 8 | data[at + 2]


class Intake:
    """
    Cuts what comes where frames end, and keeps the bodies of large messages from the engine.

    The engine would copy such a body twice, piece by piece, with an event for each; from here it is copied
    once, to where the worker reads it. Kept from the engine are whole frames of DATA that say nothing but
    bytes; it gets the beginning and the end of each call, and all else.
    """

    __slots__ = ("_calls", "_counted", "_engine", "_head", "_left", "_passing", "_taken", "_taker")

    def __init__(self, calls: LargeCalls, engine: Http2Engine) -> None:
        self._calls = calls
        self._passing = calls.passing
        self._engine = engine
        self._left = PREFACE
        """Bytes to come of the frame that has begun."""
        self._head = b""
        """The beginning of a frame's head; the engine has not seen it."""
        self._taker: ServerCall | None = None
        """The call for which that frame goes past the engine."""
        self._counted: ServerCall | None = None
        self._taken = 0
        """Bytes of that call that have gone past the engine, and are not counted yet."""

    def read(self, data: bytes) -> bytes:
        """
        Read until it is enough for one turn, and return what is left.

        :raises ConnectionBroken: the connection is to be closed.
        """
        if self._head:
            data, self._head = self._head + data, b""
        size = len(data)
        if size > STEP or self._taker is not None or self._passing.calls:
            at = self._read_in_steps(data, size)
            self._count()
            return data[at:]
        at = self._left
        while at + FRAME_HEAD <= size:
            at += FRAME_HEAD + (data[at] << 16 | data[at + 1] << 8 | data[at + 2])
        if at >= size:
            self._left = at - size
        else:
            self._left, self._head = 0, data[at:]
            data = data[:at]
        self._engine.receive(data)
        return b""

    def _read_in_steps(self, data: bytes, size: int) -> int:
        """Read the frames in ``data``, and return where the reading has ended."""
        view = memoryview(data)
        may_pass, calls = self._passing.may_pass, self._passing.calls
        at = fed = 0
        budget, step = MOST_EVENTS, STEP
        while at < size and budget > 0:
            if self._left:
                end = min(size, at + self._left)
                if self._go_on(view[at:end]):
                    fed = end
                    budget -= 1
                at = end
            elif size - at < FRAME_HEAD:
                self._head = data[at:]
                break
            else:
                taker = may_pass(data, at) if calls else None
                if taker is not None and fed < at:
                    # First what comes before it, which may end that call.
                    budget -= self._feed(view[fed:at])
                    fed = at
                    continue
                if taker is not None and (frames := self._take_alike(taker, data, view, at)):
                    budget -= frames
                    at = fed = at + frames * (FRAME_HEAD + frame_length(data, at))
                    continue
                self._taker = taker
                self._left = frame_length(data, at)
                at += FRAME_HEAD
                if taker is not None:
                    fed = at
            if at - fed >= step and not self._left:
                events = self._feed(view[fed:at])
                fed = at
                budget -= events
                step = step * 4 if events < FEW_EVENTS else STEP
        if fed < at:
            self._feed(view[fed:at])
        return size if self._head else at

    def _feed(self, piece: memoryview) -> int:
        """Let the engine read, and return how much happened, as a count of events."""
        self._count()
        return self._engine.receive(piece) + self._calls.take_cost()

    def _go_on(self, piece: memoryview) -> bool:
        """Go on in the frame that has begun; return whether it goes past the engine."""
        self._left -= len(piece)
        call = self._taker
        if call is None:
            return False
        self._take(call, len(piece))
        if call.large is not None and not call.is_over:  # else nobody waits for it any more
            call.large.add(piece)
        return True

    def _take(self, call: ServerCall, size: int) -> None:
        """Note that so many bytes of a call's body have gone past the engine."""
        if call is not self._counted:
            self._count()
            self._counted = call
        self._taken += size

    def _take_alike(self, call: ServerCall, data: bytes, view: memoryview, at: int) -> int:
        """
        Take whole frames that have the same head as the first: nearly all of a large body.

        :param at: where the first begins, which may pass.
        :return: how many.
        """
        large = call.large
        assert large is not None  # else it could not pass
        head, length, begun = data[at : at + FRAME_HEAD], frame_length(data, at), at
        whole = FRAME_HEAD + length
        last = min(len(data), at + large.missing // length * whole) - whole
        while at <= last and data[at : at + FRAME_HEAD] == head:
            large.add(view[at + FRAME_HEAD : at + whole])
            at += whole
        frames = (at - begun) // whole
        if frames:
            self._take(call, frames * length)
        return frames

    def _count(self) -> None:
        """Count what has gone past the engine: once for many frames."""
        call, size = self._counted, self._taken
        if call is not None:
            self._counted, self._taken = None, 0
            self._passing.passed(size)
            if not call.is_over:
                self._calls.large_came(call, size)
