"""
HTTP/2 by h2, in Python alone: for where no ngh2 fits; all that knows it is in this file.

h2 leaves outbound queues and windows to its user.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import hpack

from modelserver.rpc.http2 import (
    FRAME,
    ConnectionBroken,
    ErrorCode,
    Http2Events,
    Http2Limits,
    StreamGone,
    given_up,
    last_words,
)
from modelserver.rpc.wire.fields import Fields

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_FRAME_HEAD = 9
_GOAWAY, _SHORTEST_GOAWAY = 7, 8
"""A kind of frame, and the bytes that one has at least."""
_INITIAL_WINDOW = 65535
_FARTHEST = (1 << 31) - 1
_unique: Callable[[tuple[bytes, bytes]], tuple[bytes, bytes]]
_unique = partial(tuple.__new__, hpack.NeverIndexedHeaderTuple)


class _Outgoing:
    """What waits to be sent of one answer."""

    __slots__ = ("parts", "size", "tail")

    def __init__(self) -> None:
        self.parts: deque[bytes | memoryview] = deque()
        self.size = 0
        self.tail: Fields | None = None


class _Frames:
    """
    Looks at frames before h2 does, which looks at lengths when frames are whole, and keeps all until then.

    A client that will begin nothing more may still be answered, and open windows for that. h2 takes nothing
    from one that has said so, and is not told.

    :param largest: bytes that a frame may have.
    :ivar has_left: whether the client will begin nothing more.
    """

    __slots__ = ("_head", "_is_kept", "_largest", "_skip", "has_left")

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._head = b""
        self._skip = len(_PREFACE)
        self._is_kept = False
        self.has_left = False

    def passed(self, data: bytes) -> bytes:
        """
        Return what h2 is to have of the next bytes; a head that is not whole comes with the rest of it.

        :raises ConnectionBroken: a frame is too long.
        """
        pieces: list[bytes] = []
        at = 0
        while True:
            end = min(at + self._skip, len(data))
            if not self._is_kept:
                pieces.append(data[at:end])
            self._skip -= end - at
            at = end + _FRAME_HEAD - len(self._head)
            self._head += data[end:at]
            if len(self._head) < _FRAME_HEAD:
                return b"".join(pieces)
            head, self._head = self._head, b""
            self._skip = int.from_bytes(head[:3], "big")
            if self._skip > self._largest:
                raise ConnectionBroken(ErrorCode.FRAME_SIZE_ERROR, "a frame is too long")
            self._is_kept = head[3] == _GOAWAY and self._skip >= _SHORTEST_GOAWAY and not any(head[5:])
            if self._is_kept:
                self.has_left = True
            else:
                pieces.append(head)


class H2Engine:
    """h2's connection, behind the seam."""

    has_more = False
    peer_frame = FRAME

    def __init__(self, events: Http2Events, limits: Http2Limits) -> None:
        self._limits, self.listener, self.unique = limits, events, _unique
        self._connection = h2.connection.H2Connection(
            h2.config.H2Configuration(
                client_side=False,
                header_encoding=None,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self._frames = _Frames(limits.frame)
        self._outgoing: dict[int, _Outgoing] = {}
        self._open: set[int] = set()
        self._ahead = b""
        """What goes before the output that h2 has: frames that it knows not how to write."""
        self._is_ready = self._is_over = False

    def start(self) -> None:
        """Say our settings."""
        limits, connection = self._limits, self._connection
        codes = h2.settings.SettingCodes
        connection.local_settings = h2.settings.Settings(
            client=False,
            initial_values={
                codes.HEADER_TABLE_SIZE: 4096,
                codes.MAX_CONCURRENT_STREAMS: limits.streams,
                codes.INITIAL_WINDOW_SIZE: limits.window,
                codes.MAX_FRAME_SIZE: limits.frame,
                codes.MAX_HEADER_LIST_SIZE: limits.told_fields,
            },
        )
        # Settings that are there from the start have no effect of their own.
        connection.max_inbound_frame_size = limits.frame
        connection.decoder.max_header_list_size = limits.most_fields
        connection.initiate_connection()
        connection.increment_flow_control_window(limits.connection_window - _INITIAL_WINDOW)

    def receive(self, data: bytes | memoryview) -> int:
        """Take bytes, and tell of them."""
        if self._is_over:
            raise ConnectionBroken(None, "The connection has ended.")
        try:
            found = self._connection.receive_data(self._frames.passed(bytes(data)))
        except ConnectionBroken:
            self._is_over = True
            raise
        except h2.exceptions.ProtocolError as error:
            self._is_over = True
            raise _broken(error) from None
        for event in found:
            tell = _TELL.get(type(event))
            if tell is not None:
                tell(self, event)
        if self._frames.has_left:
            self._frames.has_left = False
            self.listener.ended()
        return len(found)

    def request_came(self, event: h2.events.RequestReceived) -> None:
        """
        Tell of a request.

        :raises ConnectionBroken: it has too many fields.
        """
        if len(event.headers) > self._limits.most_field_lines:
            self._is_over = True
            raise ConnectionBroken(ErrorCode.ENHANCE_YOUR_CALM, "A request has too many fields.")
        self._open.add(event.stream_id)
        fields = tuple([(bytes(name), bytes(value)) for name, value in cast(Fields, event.headers)])
        self.listener.requested(event.stream_id, fields, event.stream_ended is not None)

    def data_came(self, event: h2.events.DataReceived) -> None:
        """Tell of a piece of a body; its padding is consumed here."""
        padding = event.flow_controlled_length - len(event.data)
        if padding:
            self.consumed(event.stream_id, padding)
        self.listener.body_came(event.stream_id, event.data, event.stream_ended is not None)

    def reset_came(self, event: h2.events.StreamReset) -> None:
        """Tell of the end of a stream."""
        if event.remote_reset:
            self.listener.was_reset(event.stream_id)
        self._gone(event.stream_id)

    def settings_came(self) -> None:
        """Tell of settings: the first are a greeting."""
        self.peer_frame = self._connection.max_outbound_frame_size
        if self._is_ready:
            self.listener.pinged()
        else:
            self._is_ready = True
            self.listener.ready()

    def _gone(self, stream: int) -> None:
        self._outgoing.pop(stream, None)
        if stream in self._open:
            self._open.discard(stream)
            self.listener.closed(stream)

    def look_at(self, stream: int) -> None:
        """Tell of a stream's end, if it has come."""
        state = self._connection.streams.get(stream)
        if state is None or state.closed:
            self._gone(stream)

    def take_output(self) -> bytes:
        """Return what is to be sent now."""
        for stream, outgoing in list(self._outgoing.items()):
            self._send(stream, outgoing)
        output = self._ahead + self._connection.data_to_send()
        self._ahead = b""
        return output

    def _send(self, stream: int, outgoing: _Outgoing) -> None:
        connection = self._connection
        try:
            while outgoing.size:
                room = min(connection.local_flow_control_window(stream), connection.max_outbound_frame_size)
                if room <= 0:
                    return
                part = _next_part(outgoing, room)
                connection.send_data(stream, part)
            if outgoing.tail is not None:
                connection.send_headers(stream, outgoing.tail, end_stream=True)
                del self._outgoing[stream]
                self.look_at(stream)
        except (h2.exceptions.ProtocolError, KeyError):  # the stream, or the connection, has ended
            self._gone(stream)

    def queued(self, stream: int | None = None) -> int:
        """Return the bytes of answers that wait for the peer's windows."""
        if stream is None:
            return sum([each.size for each in self._outgoing.values()])
        outgoing = self._outgoing.get(stream)
        return outgoing.size if outgoing else 0

    def window(self, stream: int | None = None) -> int:
        """Return for how much the peer's window is open."""
        if stream is None:
            return self._connection.outbound_flow_control_window
        if stream not in self._open:
            return 0
        return self._connection.streams[stream].outbound_flow_control_window

    def answer(self, stream: int, head: Fields, body: bytes, tail: Fields) -> None:
        """Send a whole answer."""
        self.answer_head(stream, head, False)
        self.answer_part(stream, body)
        self.answer_tail(stream, tail)

    def answer_head(self, stream: int, head: Fields, ends: bool) -> None:
        """Send the head of an answer, which may be all of it."""
        if stream not in self._open:
            raise StreamGone
        try:
            self._connection.send_headers(stream, head, end_stream=ends)
        except (h2.exceptions.ProtocolError, KeyError):
            raise StreamGone from None
        if ends:
            self.look_at(stream)
        else:
            self._outgoing[stream] = _Outgoing()

    def answer_part(self, stream: int, data: bytes) -> None:
        """Send more of an answer's body."""
        outgoing = self._outgoing.get(stream)
        if outgoing is None:
            raise StreamGone
        outgoing.parts.append(data)
        outgoing.size += len(data)

    def answer_tail(self, stream: int, tail: Fields) -> None:
        """Send the end of an answer."""
        outgoing = self._outgoing.get(stream)
        if outgoing is None:
            raise StreamGone
        outgoing.tail = tail

    def has_sent(self, stream: int) -> bool:
        """Return whether nothing of the stream's answer is left."""
        return stream not in self._outgoing

    def consumed(self, stream: int, size: int) -> None:
        """Let the peer send more."""
        try:
            self._connection.acknowledge_received_data(size, stream)
        except (h2.exceptions.ProtocolError, KeyError):
            pass  # the stream, or the connection, has ended

    def reset(self, stream: int, code: ErrorCode) -> None:
        """Give up a stream."""
        try:
            self._connection.reset_stream(stream, code)
        except (h2.exceptions.ProtocolError, KeyError):
            pass  # it, or the connection, has ended
        self._gone(stream)

    def forget(self, stream: int) -> None:
        """Take a stream as one that the peer has given up."""
        if stream in self._open and not self._is_over:
            self._connection.receive_data(given_up(stream))
            self._gone(stream)

    def ping(self, data: bytes) -> None:
        """Ask for a sign of life."""
        try:
            self._connection.ping(data)
        except h2.exceptions.ProtocolError:
            pass  # the connection has ended

    def announce_end(self) -> None:
        """Ask the peer to begin nothing more; h2 would end the connection with any GOAWAY."""
        self._ahead += last_words(_FARTHEST, ErrorCode.NO_ERROR)

    def end(self, code: ErrorCode, reason: bytes) -> None:
        """Serve nothing that begins from now on, and say why."""
        highest = self._connection.highest_inbound_stream_id
        self._ahead += last_words(highest, code, reason.decode("latin-1"))


# Not the engine's own: bound methods that it holds would keep it until the garbage collector comes.
_TELL: dict[type, Callable[[H2Engine, Any], None]] = {
    h2.events.RequestReceived: H2Engine.request_came,
    h2.events.DataReceived: H2Engine.data_came,
    h2.events.TrailersReceived: lambda engine, event: engine.listener.body_came(event.stream_id, b"", True),
    h2.events.StreamEnded: lambda engine, event: engine.look_at(event.stream_id),
    h2.events.StreamReset: H2Engine.reset_came,
    h2.events.PingReceived: lambda engine, event: engine.listener.pinged(),
    h2.events.PingAckReceived: lambda engine, event: engine.listener.ponged(event.ping_data),
    h2.events.RemoteSettingsChanged: lambda engine, event: engine.settings_came(),
}
"""How events are told."""


def _next_part(outgoing: _Outgoing, room: int) -> bytes:
    """Take up to ``room`` bytes of what waits."""
    parts = outgoing.parts
    part = parts.popleft()
    while len(part) < room and parts:
        part = b"".join((part, parts.popleft()))
    if len(part) > room:
        parts.appendleft(memoryview(part)[room:])
        part = memoryview(part)[:room]
    outgoing.size -= len(part)
    return bytes(part)


def _broken(error: h2.exceptions.ProtocolError) -> ConnectionBroken:
    floods = (h2.exceptions.DenialOfServiceError,)
    code = ErrorCode.ENHANCE_YOUR_CALM if isinstance(error, floods) else int(error.error_code)
    return ConnectionBroken(code, f"{type(error).__name__}: {error}")
