"""What leaves on a connection: what its HTTP/2 engine has, and large answers, which go past it."""

from __future__ import annotations

from collections.abc import Callable

from modelserver.http1.states import ConnectionTransport
from modelserver.jobs import SharedSlot
from modelserver.language.attributes import define
from modelserver.rpc.http2 import (
    LARGEST_WINDOW,
    ConnectionBroken,
    EndedEngine,
    ErrorCode,
    Http2Engine,
    StreamGone,
    data_head,
    window_update,
)
from modelserver.rpc.wire.fields import Fields

MOST_AT_ONCE = 1 << 20
"""Bytes that are written in one call at most, but for one answer: each call wakes the client."""
LOW, SHARE = 1 << 18, 1 << 20
"""The engine's part of the connection's window: where it is below the one, it gets as much as the other."""
Body = bytes | bytearray | memoryview


@define(eq=False)
class LargeAnswer:
    """
    The only message of an answer, whose head is with the engine.

    :param ahead: what comes before the body: the message's prefix, and the beginning of the message.
    :param place: where the body lies; freed when it was sent. None: in memory of its own.
    """

    ahead: bytes
    body: Body
    tail: Fields
    place: SharedSlot | None

    @property
    def size(self) -> int:
        """Bytes of the frames' contents."""
        return len(self.ahead) + len(self.body)

    def frames(self, stream: int, most: int) -> list[Body]:
        """
        Return frames, of which the pieces of the body are not copied if it is a view.

        :param most: bytes of a frame.
        """
        ahead, body = self.ahead, self.body
        first = min(most - len(ahead), len(body))
        pieces: list[Body] = [data_head(stream, len(ahead) + first) + ahead, body[:first]]
        head = data_head(stream, most)
        last = first + (len(body) - first) // most * most
        for start in range(first, last, most):
            pieces += (head, body[start : start + most])
        if last < len(body):
            pieces += (data_head(stream, len(body) - last), body[last:])
        return pieces

    def free(self) -> None:
        """Give its place back."""
        if self.place is not None:
            self.place.free()


class Outflow:
    """
    Writes to a connection's transport.

    libnghttp2 would copy a large answer twice. From here it is sent from where it lies, behind frame heads of
    our own, if all of it may leave at once: no window is waited for. Of the connection's window, the engine
    knows a part: what the client opens it by is kept here, and the engine gets of it as it needs.

    :ivar engine: the connection's.
    :ivar is_ready: whether the client does speak HTTP/2.
    :ivar window: bytes of the connection's window of which the engine does not know.
    :ivar waiting: answers by stream, until the transport takes more.
    :ivar size: their bytes.
    :ivar lends: whether answers may be sent from memory that is not the connection's: the transport tells
        when it was sent.
    """

    def __init__(self, transport: ConnectionTransport, is_secure: bool) -> None:
        self._transport = transport
        self._joins = is_secure  # each piece would be encrypted by itself
        self._when_sent: Callable[[Callable[[], None]], object] | None
        self._when_sent = getattr(transport, "when_sent", None)
        self.lends = self._when_sent is not None
        self.engine: Http2Engine = EndedEngine()
        self.is_ready = False
        self.window = self.size = 0
        self.waiting: dict[int, LargeAnswer] = {}

    # What calls ask.

    def has_room(self, stream: int, size: int) -> bool:
        """Return whether the client's windows let a stream send so much now."""
        return size <= self.window and size <= self.engine.window(stream)

    def add(self, stream: int, answer: LargeAnswer) -> None:
        """Have an answer leave for which there is room; its head goes before it, by the engine."""
        self.window -= answer.size
        self.size += answer.size
        self.waiting[stream] = answer

    # What the connection tells.

    def opened(self, size: int) -> bool:
        """
        Take what the client opens the connection's window by; return whether the engine need not know.

        :raises ConnectionBroken: it is too much.
        """
        if not self.is_ready or not size:
            return False
        if self.window + self.size + self.engine.window() + size > LARGEST_WINDOW:
            raise ConnectionBroken(ErrorCode.FLOW_CONTROL_ERROR, "the window is too large")
        self.window += size
        return True

    def drop(self, stream: int) -> None:
        """Forget an answer for which nobody waits."""
        answer = self._take(stream)
        if answer is not None:
            self.window += answer.size
            answer.free()

    def lost(self) -> None:
        """Forget all: the connection is lost."""
        self.engine = EndedEngine()
        for stream in list(self.waiting):
            self.drop(stream)

    def _take(self, stream: int) -> LargeAnswer | None:
        answer = self.waiting.pop(stream, None)
        if answer is not None:
            self.size -= answer.size
        return answer

    # Writing.

    def write_some(self, may_share: bool) -> bool:
        """
        Write once; return whether there may be more.

        :param may_share: whether the engine may be given frames of our own.
        :raises ConnectionBroken: the connection is to be closed.
        """
        engine = self.engine
        output = engine.take_output()
        if output and engine.has_more:
            pieces = [output]
            try:
                self._add_more(pieces)
            finally:  # what is behind may be that these were the last words
                self._transport.writeSequence(pieces)
            return True
        if self.waiting:
            self._write_answers(output)  # the engine has no frame half out
            return True
        if output:
            self._transport.write(output)
        return self.window > 0 and may_share and self._shares()

    def _add_more(self, pieces: list[bytes]) -> None:
        """Add to output what the engine has behind it, up to what is written at once."""
        engine, size = self.engine, len(pieces[0])
        while engine.has_more and size < MOST_AT_ONCE and (output := engine.take_output()):
            pieces.append(output)
            size += len(output)

    def _write_answers(self, output: bytes) -> None:
        """Write output, with answers behind it and their ends, up to what is written at once."""
        engine, size = self.engine, 0
        pieces: list[Body] = [output] if output else []
        sent: list[LargeAnswer] = []
        while self.waiting and size < MOST_AT_ONCE:
            stream = next(iter(self.waiting))
            answer = self._take(stream)
            assert answer is not None  # it waits
            try:
                if answer.size <= engine.window(stream):
                    pieces += answer.frames(stream, engine.peer_frame)
                    size += answer.size
                else:  # the client has made its window smaller since
                    self.window += answer.size
                    engine.answer_part(stream, b"".join((answer.ahead, answer.body)))
                engine.answer_tail(stream, answer.tail)
            except StreamGone:
                pass
            sent.append(answer)
        try:
            pieces.append(engine.take_output())
        except ConnectionBroken:
            for answer in sent:
                answer.free()
            raise
        if self._joins:
            self._transport.write(b"".join(pieces))
        else:
            self._transport.writeSequence(pieces)
        for answer in sent:
            if self._joins or self._when_sent is None:
                answer.free()  # it was copied
            elif answer.place is not None:
                self._when_sent(answer.place.free)

    def _shares(self) -> bool:
        """Let the engine have of the window what it needs; return whether it may have more to send now."""
        engine = self.engine
        has = engine.window()
        if has >= LOW:
            return False
        size = min(self.window, SHARE - has)
        self.window -= size
        engine.receive(window_update(0, size))
        return engine.queued() > 0
