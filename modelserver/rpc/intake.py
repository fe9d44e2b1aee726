"""What a client sends, frame by frame: large messages go past the HTTP/2 engine, all else through it."""

from __future__ import annotations

from struct import Struct

from modelserver.rpc.call import ServerCall
from modelserver.rpc.http2 import LARGEST_WINDOW, ErrorCode, Http2Engine, data_head, end_of, opens_all
from modelserver.rpc.large_calls import LargeCalls
from modelserver.rpc.large_message import LARGE
from modelserver.rpc.passed_bodies import PassedBodies
from modelserver.rpc.passing import (
    DATA,
    END_STREAM,
    FRAME_HEAD,
    Passage,
    frame_length,
    head_at,
    stream_at,
)
from modelserver.rpc.wire.messages import PREFIX

MOST_EVENTS = 1000
"""Events of one connection in one turn: what one client sends may not keep the others waiting."""
STEP = 16 << 10
"""Bytes that are read before events are counted; more while there are few."""
FEW_EVENTS = 16
SEVERAL = 1024
"""Bytes from which on what comes may be several calls."""
PASSED_PER_EVENT = 4096
"""Bytes past the engine that cost no more than an event."""
MADE_UP_AT_ONCE = 8
"""Pieces of a body that the engine reads in the stead of others before it sends: then it opens windows."""
CUT = LARGE
"""Bytes of a frame from which on it is cut where its message begins, if that is a large one."""
DIRECT = 64 << 10
"""Bytes to come of a frame from which on they are read straight to where the worker reads them."""
PREFACE = 24
"""Bytes of what a client says before its first frame."""
_WINDOW_UPDATE, _OPENING = 8, FRAME_HEAD + 4
"""A kind of frame, and its bytes."""
_BEGINNING = FRAME_HEAD + PREFIX
"""Bytes from which it is known how large a message is, with the head of their frame."""
_length_and_kind = Struct(">I").unpack_from
_OPENS = 4 << 8 | _WINDOW_UPDATE
"""How such a frame begins."""


class Intake:
    """
    Cuts what comes where frames end, and keeps the bodies of large messages from the engine.

    The engine would copy such a body twice, piece by piece, with an event for each; from here it is copied
    once, to where the worker reads it. Kept from the engine are whole frames of DATA that say nothing but
    bytes; it gets the beginning and the end of each call, and all else. A large first frame is cut in two: of
    the rest, its first bytes say whether it is kept from the engine. The end is kept from it where the client
    has said the length of the body, of which the engine would miss the bytes: once such a call is answered,
    the engine is told that its client has given it up.

    :ivar halves: a worker may begin with the first half of calls that come together. It costs those whose
        answers come in parts more than it gives: their parts are framed together.
    """

    __slots__ = (
        "_bodies",
        "_calls",
        "_ends",
        "_engine",
        "_forgotten",
        "_head",
        "_left",
        "_outflow",
        "_passing",
        "_taker",
        "halves",
    )

    def __init__(self, calls: LargeCalls, engine: Http2Engine) -> None:
        self._calls = calls
        self._passing = calls.passing
        self._bodies = PassedBodies(calls)
        self._outflow = calls.outflow
        self._engine = engine
        self.halves = True
        self._left = PREFACE
        """Bytes to come of the frame that has begun."""
        self._head = b""
        """The beginning of a frame's head, or a little more; the engine has not seen it."""
        self._taker: Passage | None = None
        """That of the call for which that frame goes past the engine."""
        self._ends = False
        """Whether that frame ends the call's request."""
        self._forgotten: list[int] = []
        """Streams that could not be forgotten within a frame."""

    @property
    def is_between(self) -> bool:
        """Whether the engine has seen no part of a frame: it may be given frames of our own."""
        return not self._left or self._taker is not None

    def forget(self, stream: int) -> None:
        """
        Have the engine forget an answered call whose end it has not seen, as soon as it may be.

        That is before it sees what comes next: its client may begin another one in the stead of this.
        """
        if self.is_between:
            self._engine.forget(stream)
        else:
            self._forgotten.append(stream)

    def stop_halves(self) -> bool:
        """
        Give up requests whose answers are out: the client need not send the rest (RFC 9113, 8.1).

        :return: whether it is to be told.
        """
        half, engine, tells = self._calls.half, self._engine, False
        for stream, call in [each for each in half.items() if engine.has_sent(each[0])]:
            half.pop(stream, None)
            if call.is_end_unseen:
                self.forget(stream)
            else:
                engine.reset(stream, ErrorCode.NO_ERROR)
                tells = True
        return tells

    def read(self, data: bytes) -> bytes:
        """
        Read until it is enough for one turn, and return what is left.

        :raises ConnectionBroken: the connection is to be closed.
        """
        if self._head:
            data, self._head = self._head + data, b""
        size = len(data)
        if size > STEP or self._taker is not None or self._passing.calls or self._forgotten:
            return self._read_carefully(data, size)
        at = self._left
        # The worker of a client that has waited for all of its answers has nothing to do: it begins with
        # the first half of the calls while the other one is read.
        begins_early = size >= SEVERAL and self.halves and not self._calls.calls
        last = size - FRAME_HEAD
        most = size // 2 - 1 if begins_early else last
        while at <= most:
            (begin,) = _length_and_kind(data, at)
            if begin == _OPENS and opens_all(data, at):
                return self._read_carefully(data, size)
            at += FRAME_HEAD + (begin >> 8)
        if at <= last:
            self._left = 0
            self._engine.receive(data[:at])
            return data[at:]
        if at >= size:
            if at - size >= CUT:
                return self._read_carefully(data, size)
            self._left = at - size
        else:
            self._left, self._head = 0, data[at:]
            data = data[:at]
        self._engine.receive(data)
        return b""

    def _read_carefully(self, data: bytes, size: int) -> bytes:
        """Read what may have more than is for the engine, and return what is left."""
        at = self._read_in_steps(data, size)
        self._bodies.count()
        return data[at:]

    def _read_in_steps(self, data: bytes, size: int) -> int:
        """Read the frames in ``data``, and return where the reading has ended."""
        view = memoryview(data)
        at = fed = 0
        budget, step = MOST_EVENTS, STEP
        while at < size and budget > 0:
            if self._left:
                end = min(size, at + self._left)
                if self._go_on(view[at:end]):
                    fed = end
                    budget -= 1
                at = end
            elif size - at < FRAME_HEAD or (self._opens(data, at) and size - at < _OPENING):
                self._head = data[at:]
                break
            else:
                passage = self._passing.passage_of(data, at) if self._passing.calls else None
                if fed < at and self._needs_all(passage, data, at):
                    budget -= self._feed(view[fed:at])
                    fed = at
                    continue
                end = self._pass_by(passage, data, view, at)
                if end > at:
                    budget -= 1 + (end - at) // PASSED_PER_EVENT
                    at = fed = end
                    continue
                if self._head:
                    break
                if passage is None and (ended := self._passing.ended_by(data, at)) is not None:
                    self._make_up(ended)
                self._begin(passage, data, at)
                at += FRAME_HEAD
                fed = fed if passage is None else at
            if not self._left and (at - fed >= step or self._forgotten):
                events = self._feed(view[fed:at])
                fed = at
                budget -= events
                step = step * 4 if events < FEW_EVENTS else STEP
        if fed < at:
            self._feed(view[fed:at])
        return size if self._head else at

    def _opens(self, data: bytes, at: int) -> bool:
        return data[at + 3] == _WINDOW_UPDATE and opens_all(data, at)

    def _needs_all(self, passage: Passage | None, data: bytes, at: int) -> bool:
        """
        Return whether the engine is first to read what comes before a frame, which may change what that is.

        :param passage: what the frame is taken for until then.
        """
        return (
            passage is not None
            or (data[at + 3] == DATA and frame_length(data, at) >= CUT)
            or self._opens(data, at)
            or self._passing.ended_by(data, at) is not None
        )

    def _begins(self, data: bytes, at: int) -> bool:
        """Return whether the frame that begins at a place is a large first one of a body."""
        if data[at + 3] != DATA or data[at + 4] > END_STREAM or frame_length(data, at) < CUT:
            return False
        call = self._calls.calls.get(stream_at(data, at))
        return call is not None and call.give is not None and not call.received and not call.is_over

    def _is_large(self, data: bytes, at: int) -> bool:
        begin = at + FRAME_HEAD
        return int.from_bytes(data[begin + 1 : begin + PREFIX], "big") >= LARGE

    def _cut(self, data: bytes, at: int) -> None:
        """Let the engine have a message's prefix as a frame, and take the rest of its frame for another."""
        stream, begin = stream_at(data, at), at + FRAME_HEAD
        self._feed(memoryview(data_head(stream, PREFIX) + data[begin : begin + PREFIX]))
        rest = data_head(stream, frame_length(data, at) - PREFIX, data[at + 4])
        passage = self._passing.passage_of(rest, 0)
        if passage is None:
            if (ended := self._passing.ended_by(rest, 0)) is not None:
                self._make_up(ended)
            self._engine.receive(rest)
        self._begin(passage, rest, 0)

    def _feed(self, piece: memoryview) -> int:
        """Let the engine read, and return how much happened, as a count of events."""
        self._bodies.count()
        events = self._engine.receive(piece)
        if self._forgotten and self.is_between:
            forgotten, self._forgotten = self._forgotten, []
            for stream in forgotten:
                self._engine.forget(stream)
        return events + self._calls.take_cost()

    def _begin(self, passage: Passage | None, data: bytes, at: int) -> None:
        """Begin to read a frame."""
        self._taker, self._ends = passage, data[at + 4] == END_STREAM
        self._left = frame_length(data, at)

    def _go_on(self, piece: memoryview) -> bool:
        """Go on in the frame that has begun; return whether it goes past the engine."""
        self._left -= len(piece)
        passage = self._taker
        if passage is None:
            return False
        self._bodies.take(passage, piece)
        if self._ends and not self._left:
            self._end(passage.call)
        return True

    def _end(self, call: ServerCall) -> None:
        """End a call's request, of which the last piece has gone past the engine."""
        self._bodies.count()
        self._passing.forget(call.stream)
        if call.is_measured:
            call.is_end_unseen = True
            self._calls.body_came(call.stream, b"", True)
        else:
            self._engine.receive(end_of(call.stream))

    def _make_up(self, passage: Passage) -> None:
        """
        Let the engine have a body as long as it was told, before it reads the end of it.

        Trailers are to be read by it, or padding, or a length that is wrong.
        """
        self._bodies.count()
        calls, call = self._calls.calls, passage.call
        del calls[call.stream]  # the bytes are nobody's: each piece is given back at once
        try:
            for place, piece in enumerate(self._passing.make_up(passage)):
                self._engine.receive(piece)
                if not place % MADE_UP_AT_ONCE:
                    self._outflow.write_some(False)
        finally:
            calls[call.stream] = call

    def _pass_by(self, passage: Passage | None, data: bytes, view: memoryview, at: int) -> int:
        """
        Read whole frames that are not for the engine, or cut one, and return where that ends.

        :param passage: the one of the first frame's call, if there is one.
        """
        if passage is None:
            if self._opens(data, at):
                size = int.from_bytes(data[at + FRAME_HEAD : at + _OPENING], "big") & LARGEST_WINDOW
                if self._outflow.opened(size):
                    return at + _OPENING
            elif self._begins(data, at):
                if len(data) - at < _BEGINNING:
                    self._head = data[at:]
                elif self._is_large(data, at):
                    self._cut(data, at)
                    return at + _BEGINNING
            return at
        end = at + FRAME_HEAD + frame_length(data, at)
        if end > len(data):
            return at
        if data[at + 4] == END_STREAM:
            self._bodies.take(passage, view[at + FRAME_HEAD : end])
            self._end(passage.call)
            return end
        if passage.call.is_over:
            return at
        self._passing.expect_alike(passage, head_at(data, at), end - at - FRAME_HEAD)
        return self._bodies.take_alike(view, at, len(data))

    def skim(self, data: memoryview) -> int:
        """
        Read what is nothing but the middle of bodies, and return where that ends.

        Of all else, the rest is to be given to ``read``: this does not begin where a frame is for the engine.
        """
        at, size, passage = 0, len(data), self._taker
        if self._left:
            if passage is None or self._ends or passage.call.is_over:
                return 0
            at = min(size, self._left)
            self._go_on(data[:at])
        elif self._head:
            return 0
        at = self._bodies.take_alike(data, at, size)
        if size - at > FRAME_HEAD:
            passage = self._passing.alike.get(head_at(data, at))
            if passage is not None and passage.size <= passage.large.missing and not passage.call.is_over:
                self._taker, self._ends, self._left = passage, False, passage.size
                self._go_on(data[at + FRAME_HEAD :])
                at = size
        self._bodies.count()
        return at

    def place(self) -> memoryview | None:
        """
        Return where what comes next of a large frame is to be read to at once; None: it is not worth it.

        It ends before the request does: the end is for ``read``.
        """
        passage, left = self._taker, self._left
        if left < DIRECT or passage is None or passage.call.is_over:
            return None
        begin = passage.large.at
        return self._passing.memory[begin : begin + left - self._ends]

    def placed(self, size: int) -> None:
        """Note that so many bytes were read to where ``place`` has said."""
        assert self._taker is not None  # it has a place
        self._left -= size
        self._bodies.lies(self._taker, size)

    def room_for(self, most: int) -> int:
        """Return how much is to be read at once, at most, to end where a frame does if all are alike."""
        left = self._left
        passage = self._taker
        if self._head or passage is None or left >= most:
            return most
        whole = FRAME_HEAD + passage.size
        return left + (most - left) // whole * whole
