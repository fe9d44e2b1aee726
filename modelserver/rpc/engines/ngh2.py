"""HTTP/2 by libnghttp2, through the package ngh2; all that knows it is in this file."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import ngh2

from modelserver.rpc.http2 import (
    FRAME,
    ConnectionBroken,
    ErrorCode,
    Http2Events,
    Http2Limits,
    StreamGone,
    given_up,
)
from modelserver.rpc.wire.fields import Fields

MOST_AT_ONCE = 1 << 17
"""Bytes that may be waiting to be sent before output is taken in steps."""
STEP = 1 << 17
"""So much is in the processor's cache still when it is written; of 64 kB to 1 MB, the cheapest."""
_GONE = (ngh2.StreamProtocolError, ngh2.ConnectionStateError)
# Looked up once: these are compared with for each event.
_REQUEST, _DATA, _CLOSED = ngh2.RequestReceived, ngh2.DataReceived, ngh2.StreamClosed
# A field that is added to HPACK's table drives out others, which come again, and costs both sides more.
_unique: Callable[[tuple[bytes, bytes]], tuple[bytes, bytes]]
_unique = partial(tuple.__new__, ngh2.NeverIndexedHeader)


class Ngh2Engine:
    """ngh2's connection, behind the seam; with no more layers than needed, since it is used by every call."""

    has_more = False
    peer_frame = FRAME

    def __init__(self, events: Http2Events, limits: Http2Limits) -> None:
        self._limits, self.unique = limits, _unique
        self._connection = connection = ngh2.Connection(
            ngh2.Role.SERVER,
            ngh2.Configuration(
                auto_window_update=False,
                max_outbound_ack=limits.most_acknowledgements,
                # Resets are counted by who is told of them; the library's own count is by another clock.
                stream_reset_rate_limit=(limits.resets[0] * 10, limits.resets[1] * 10),
                glitch_rate_limit=limits.glitches,
                max_continuations=limits.most_continuations,
                max_inbound_header_list_size=limits.most_fields,
                max_inbound_header_count=limits.most_field_lines,
            ),
        )
        self._is_ready = self._is_ending = False
        self._broken: str | None = None
        """Why the library has ended the connection, of which it has told the peer."""
        self._behind: list[bytes] | None = None
        """Pings that are to follow the notice of the end: the library would send them ahead of it."""
        self._events = connection.events
        self._queued = connection.queued_body_size
        self._acknowledge = connection.acknowledge_received_data
        self._data, self._trailers = connection.send_data, connection.send_trailers
        self._response = connection.send_response
        self.listener = events
        self._requested, self._body_came, self._closed = events.requested, events.body_came, events.closed

    def start(self) -> None:
        """Say our settings."""
        limits = self._limits
        self._connection.initiate_connection(
            {
                ngh2.Setting.MAX_CONCURRENT_STREAMS: limits.streams,
                ngh2.Setting.INITIAL_WINDOW_SIZE: limits.window,
                ngh2.Setting.MAX_FRAME_SIZE: limits.frame,
                ngh2.Setting.MAX_HEADER_LIST_SIZE: limits.told_fields,
            }
        )
        self._connection.set_local_window_size(limits.connection_window)

    def receive(self, data: bytes | memoryview) -> int:
        """Take bytes, and tell of them."""
        try:
            self._connection.receive_data(data)
        except ngh2.ConnectionStateError:
            if self._broken is not None:
                raise ConnectionBroken(None, self._broken) from None
            return 0  # the peer has left, and nothing was in hand
        except ngh2.NGH2Error as error:
            raise _broken(error) from None
        return self._dispatch()

    def _dispatch(self) -> int:
        events = self._events()
        self._tell(events)
        return len(events)

    def _tell(self, events: list[ngh2.Event]) -> None:
        for event in events:
            kind = type(event)
            if kind is _REQUEST:
                self._requested(event.stream_id, event.headers, event.end_stream)  # type: ignore[attr-defined]  # its kind is known
            elif kind is _DATA:
                self._body_came(event.stream_id, event.data, event.end_stream)  # type: ignore[attr-defined]  # likewise
            elif kind is _CLOSED:
                self._closed(event.stream_id)  # type: ignore[attr-defined]  # likewise
            elif kind in _TELL:
                _TELL[kind](self, event)

    def settings_came(self) -> None:
        """Tell of settings: the first are a greeting."""
        self.peer_frame = self._connection.remote_settings[ngh2.Setting.MAX_FRAME_SIZE]
        if self._is_ready:
            self.listener.pinged()
        else:
            self._is_ready = True
            self.listener.ready()

    def closed_by_itself(self, event: ngh2.ConnectionClosed) -> None:
        """Note that the library has ended the connection."""
        if event.error_code and not self._is_ending:
            self._broken = event.debug_data.decode("latin-1") or _named(event.error_code)
        self.listener.ended()

    def take_output(self) -> bytes:
        """Return what is to be sent now; the library's last words first, and then that they were it."""
        if self._broken is not None:
            raise ConnectionBroken(None, self._broken)
        connection = self._connection
        try:
            self.has_more = self._queued() > MOST_AT_ONCE
            output = connection.data_to_send(STEP) if self.has_more else connection.data_to_send()
        except ngh2.NGH2Error as error:
            raise _broken(error) from None
        if self._behind is not None:
            output += self._pings_behind()
        if output:
            self._dispatch()
            self.has_more = self.has_more or self._broken is not None
        return output

    def _pings_behind(self) -> bytes:
        behind, self._behind = self._behind or (), None
        for data in behind:
            self.ping(data)
        return self._connection.data_to_send() if behind and not self.has_more else b""

    def queued(self, stream: int | None = None) -> int:
        """Return the bytes of answers that wait for the peer's windows."""
        try:
            return self._queued(stream)
        except ngh2.NGH2Error:
            return 0

    def window(self, stream: int | None = None) -> int:
        """Return for how much the peer's window is open."""
        connection = self._connection
        try:
            if stream is None:
                return connection.remote_window_size
            return connection.stream_remote_window_size(stream)
        except ngh2.NGH2Error:
            return 0

    def answer(self, stream: int, head: Fields, body: bytes, tail: Fields) -> None:
        """Send a whole answer."""
        try:
            self._response(stream, head)
            self._data(stream, body)
            self._trailers(stream, tail)
        except _GONE:
            raise StreamGone from None

    def answer_head(self, stream: int, head: Fields, ends: bool) -> None:
        """Send the head of an answer, which may be all of it."""
        try:
            self._response(stream, head, end_stream=ends)
        except _GONE:
            raise StreamGone from None

    def answer_part(self, stream: int, data: bytes) -> None:
        """Send more of an answer's body."""
        try:
            self._data(stream, data)
        except _GONE:
            raise StreamGone from None

    def answer_tail(self, stream: int, tail: Fields) -> None:
        """Send the end of an answer."""
        try:
            self._trailers(stream, tail)
        except _GONE:
            raise StreamGone from None

    def has_sent(self, stream: int) -> bool:
        """Return whether nothing of the stream's answer is left."""
        try:
            return not self._queued(stream) and self._connection.remote_window_size > 0
        except ngh2.NGH2Error:
            return False

    def consumed(self, stream: int, size: int) -> None:
        """Let the peer send more."""
        try:
            self._acknowledge(size, stream)
        except ngh2.NGH2Error:
            pass  # the connection has ended

    def reset(self, stream: int, code: ErrorCode) -> None:
        """Give up a stream."""
        try:
            self._connection.reset_stream(stream, code)
        except ngh2.NGH2Error:
            pass  # it, or the connection, has ended

    def forget(self, stream: int) -> None:
        """Take a stream as one that the peer has given up."""
        try:
            self._connection.receive_data(given_up(stream))
        except ngh2.NGH2Error:
            return  # the connection has ended
        self._tell([event for event in self._events() if type(event) is not ngh2.StreamReset])

    def ping(self, data: bytes) -> None:
        """Ask for a sign of life."""
        if self._behind is not None:
            self._behind.append(data)
            return
        try:
            self._connection.ping(data)
        except ngh2.NGH2Error:
            pass  # the connection has ended

    def announce_end(self) -> None:
        """Ask the peer to begin nothing more."""
        try:
            self._connection.send_shutdown_notice()
            self._behind = []
        except ngh2.NGH2Error:
            pass  # the connection has ended

    def end(self, code: ErrorCode, reason: bytes) -> None:
        """Serve nothing that begins from now on, and say why."""
        self._is_ending = True
        try:
            self._connection.send_goaway(code, debug_data=reason)
        except ngh2.NGH2Error:
            pass  # it has ended


# Not the engine's own: bound methods that it holds would keep it until the garbage collector comes.
_TELL: dict[type, Callable[[Ngh2Engine, Any], None]] = {
    ngh2.TrailersReceived: lambda engine, event: engine.listener.body_came(event.stream_id, b"", True),
    ngh2.StreamReset: lambda engine, event: engine.listener.was_reset(event.stream_id),
    ngh2.PingReceived: lambda engine, event: engine.listener.pinged(),
    ngh2.PingAcknowledged: lambda engine, event: engine.listener.ponged(event.opaque_data),
    ngh2.SettingsReceived: lambda engine, event: engine.settings_came(),
    ngh2.GoAwayReceived: lambda engine, event: engine.listener.ended(),
    ngh2.ConnectionClosed: Ngh2Engine.closed_by_itself,
}
"""How the less frequent events are told."""


def _named(code: int) -> str:
    """Return what is told of an end for which the library has no words."""
    name = ErrorCode(code).name if code in ErrorCode._value2member_map_ else str(code)
    return f"HTTP/2 error {name}"


def _broken(error: ngh2.NGH2Error) -> ConnectionBroken:
    if isinstance(error, ngh2.ConnectionStateError):
        return ConnectionBroken(None, str(error) or repr(error))  # it has said so by itself
    is_flood = isinstance(error, ngh2.DenialOfServiceError)
    code = ErrorCode.ENHANCE_YOUR_CALM if is_flood else ErrorCode.PROTOCOL_ERROR
    return ConnectionBroken(code, str(error) or repr(error))
