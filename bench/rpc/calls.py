"""The calls of one connection, without a socket: what is to be sent, and what came of what was received."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable

import hpack
from attrs import define, field

from bench.client import Tally
from bench.rpc import http2

PREFIX = 5
"""Bytes before a message: whether it is compressed, and its length."""
_head_at = struct.Struct(">IBI").unpack_from
"""A frame's length and kind, its flags, its stream."""
LARGEST_BLOCK = 1 << 16
"""Bytes of an answer's fields, at most."""
Fields = list[tuple[str, str]]


@define(eq=False)
class Call:
    """
    One call in flight.

    :ivar at: bytes of the body that were sent.
    :ivar window: bytes for which the server has room, by what it has said of this stream.
    :ivar received: bytes of the answer's messages, prefixes included.
    """

    stream: int
    began: float
    window: int
    at: int = 0
    received: int = 0
    prefix: bytes = b""
    status: str = ""
    grpc_status: str = ""


class Blocks:
    """
    Reads the fields of answers: those of most are byte for byte like others before.

    A block means the same as long as the table of both sides stays as it is. So a block that has not changed
    the table is read once.
    """

    def __init__(self) -> None:
        self._decoder = hpack.Decoder(max_header_list_size=LARGEST_BLOCK)
        self._known: dict[bytes, dict[str, str]] = {}

    def read(self, block: bytes) -> dict[str, str]:
        """
        The fields of a block.

        :raises ValueError: it is none.
        """
        known = self._known.get(block)
        if known is not None:
            return known
        table = self._decoder.header_table
        before = (table.maxsize, list(table.dynamic_entries))
        try:
            fields = {_text(name): _text(value) for name, value in self._decoder.decode(block)}
        except hpack.HPACKError as error:
            raise ValueError(f"fields: {error}") from error
        if before != (table.maxsize, list(table.dynamic_entries)):
            self._known.clear()
        elif len(self._known) < 1000:
            self._known[block] = fields
        return fields


def _text(word: str | bytes) -> str:
    return word if isinstance(word, str) else word.decode("latin-1")


@define(eq=False)
class Calls:
    """
    Calls that are always the same, some of them in flight at a time.

    :param fields: of each request.
    :param body: of each request.
    :param answer: bytes that the body of a right answer has.
    :param may_begin: whether another call may begin; counts it.
    :param largest_frame: bytes of a frame, at most, however large the server says that it may be.
    :param own_frame: bytes of a frame that the server may send.
    :ivar is_told: the server's settings have come, and calls may begin.
    :ivar calls: those in flight, by stream.
    :ivar missing: bytes that come next and say nothing: they need not be looked at.
    :ivar last_size: of the frame with a piece of an answer that came last.
    """

    fields: Fields
    body: bytes
    answer: int
    in_flight: int
    tally: Tally
    clock: Callable[[], float]
    may_begin: Callable[[], bool]
    largest_frame: int = http2.FRAME
    own_frame: int = http2.FRAME
    is_told: bool = field(init=False, default=False)
    missing: int = field(init=False, default=0)
    last_size: int = field(init=False, default=0)
    calls: dict[int, Call] = field(init=False, factory=dict)
    _next: int = field(init=False, default=1)
    _uploads: deque[Call] = field(init=False, factory=deque)
    _window: int = field(init=False, default=http2.WINDOW_AT_FIRST)
    _stream_window: int = field(init=False, default=http2.WINDOW_AT_FIRST)
    _streams: int = field(init=False, default=http2.LARGEST_WINDOW)
    _frame: int = field(init=False, default=http2.FRAME)
    _taken: int = field(init=False, default=0)
    _control: bytearray = field(init=False, factory=bytearray)
    _encoder: hpack.Encoder = field(init=False, factory=hpack.Encoder)
    _blocks: Blocks = field(init=False, factory=Blocks)
    _first_block: bytes = field(init=False, default=b"")
    _block: bytes = field(init=False, default=b"")
    _frames: http2.Body = field(init=False)
    _ends: int = field(init=False, default=0)
    """The stream that ends with the frame of which bytes are missing."""
    _begun: tuple[int, int, bytes] | None = field(init=False, default=None)
    """The stream, the flags and the fields so far of what goes on in the next frame."""

    def greet(self) -> None:
        """Say the settings."""
        pairs = (
            (http2.PUSHES, 0),
            (http2.STREAM_WINDOW, http2.OWN_WINDOW),
            (http2.FRAME_SIZE, self.own_frame),
        )
        self._control += http2.GREETING + http2.settings(pairs)
        self._control += http2.window_update(0, http2.OWN_WINDOW - http2.WINDOW_AT_FIRST)

    # What is sent.

    def begin(self) -> None:
        """Begin as many calls as may be."""
        while self.is_told and len(self.calls) < min(self.in_flight, self._streams) and self.may_begin():
            call = Call(self._next, self.clock(), self._stream_window)
            self._next += 2
            self.calls[call.stream] = call
            self._uploads.append(call)

    def pieces(self) -> list[http2.Piece]:
        """What is to be sent next; good until this is asked again. Empty: nothing now."""
        pieces: list[http2.Piece] = []
        if self._control:
            pieces.append(bytes(self._control))
            self._control.clear()
        for call in self._uploads:
            room = min(self._window, call.window)
            if room > 0:
                self._upload(call, room, pieces)
                break
        return pieces

    def _upload(self, call: Call, room: int, pieces: list[http2.Piece]) -> None:
        if not call.at:
            block, self._first_block = self._first_block or self._block, b""
            pieces += (http2.head(http2.HEADERS, http2.ENDS_HEADERS, call.stream, len(block)), block)
        found, end = self._frames.pieces(call.stream, call.at, room)
        pieces += found
        self._window -= end - call.at
        call.window -= end - call.at
        call.at = end
        if end == len(self.body):
            self._uploads.remove(call)

    # What came.

    def skip(self, size: int) -> None:
        """Note that so many of the missing bytes have come."""
        self.missing -= size
        if not self.missing and self._ends:
            self._end(self._ends)

    def receive(self, data: memoryview) -> int:
        """
        Read what came; return how much of it: the rest is the beginning of a frame.

        :raises ValueError: it is not what a server may send, or the server gives up the connection.
        """
        at, size, calls = 0, len(data), self.calls
        while at < size:
            if self.missing:
                step = min(self.missing, size - at)
                at += step
                self.skip(step)
                continue
            if size - at < http2.HEAD:
                break
            length, flags, stream = _head_at(data, at)
            kind, length, begin = length & 255, length >> 8, at + http2.HEAD
            if length > self.own_frame:
                raise ValueError(f"a frame of kind {kind} has {length} bytes")
            if kind == http2.DATA:
                call = calls.get(stream)
                look = 0 if call is None else min(PREFIX - len(call.prefix), length)
                if size - begin < look:
                    break
                at = begin + look
                self._count(call, length, flags)
                if look and call is not None:
                    call.prefix += bytes(data[begin:at])
                self._ends = stream if flags & http2.ENDS_STREAM else 0
                self.missing = length - look
                if not self.missing:
                    self.skip(0)
            elif length > http2.FRAME:
                raise ValueError(f"a frame of kind {kind} is too long for this client")
            elif size - begin < length:
                break
            else:
                at = begin + length
                self._other(kind, flags, stream & http2.LARGEST_WINDOW, bytes(data[begin:at]))
        return at

    def _count(self, call: Call | None, length: int, flags: int) -> None:
        if flags & http2.PADDED or self._begun is not None:
            raise ValueError("a frame of DATA that is padded, or out of place")
        if call is not None:
            call.received += length
        self.last_size = length
        self._taken += length
        if self._taken >= http2.OWN_WINDOW // 2:
            self._control += http2.window_update(0, self._taken)
            self._taken = 0

    def _other(self, kind: int, flags: int, stream: int, contents: bytes) -> None:
        """Take a frame that has no message."""
        if (self._begun is not None) != (kind == http2.CONTINUATION):
            raise ValueError(f"a frame of kind {kind} between fields")
        if kind == http2.HEADERS:
            self._fields_came(stream, flags, _unpadded(flags, contents))
        elif kind == http2.CONTINUATION:
            assert self._begun is not None  # see above
            begun, first, before = self._begun
            if begun != stream or len(before) > LARGEST_BLOCK:
                raise ValueError("fields go on in another stream, or without an end")
            self._fields_came(stream, first | flags & http2.ENDS_HEADERS, before + contents)
        elif kind == http2.WINDOW:
            self._opened(stream, http2.number(contents))
        elif kind == http2.RESET:
            if (call := self._over(stream)) is not None:
                self.tally.failed(f"reset, code {http2.number(contents)}")
                self._uploads_no_more(call, tell=False)
        elif kind in (http2.SETTINGS, http2.PING):
            if not flags & http2.ACKNOWLEDGES:
                self._acknowledge(kind, contents)
        elif kind == http2.GOAWAY:
            raise ValueError(f"GOAWAY, code {http2.number(contents, 4)}: {contents[8:100]!r}")
        elif kind == http2.PUSH:
            raise ValueError("a pushed stream")

    def _fields_came(self, stream: int, flags: int, block: bytes) -> None:
        if not flags & http2.ENDS_HEADERS:
            self._begun = (stream, flags, block)
            return
        self._begun = None
        fields = self._blocks.read(block)
        call = self.calls.get(stream)
        if call is not None:
            call.status = call.status or fields.get(":status", "")
            call.grpc_status = fields.get("grpc-status", "")
        if flags & http2.ENDS_STREAM:
            self._end(stream)

    def _opened(self, stream: int, size: int) -> None:
        if not stream:
            self._window += size
        elif (call := self.calls.get(stream)) is not None:
            call.window += size

    def _acknowledge(self, kind: int, contents: bytes) -> None:
        """Take settings or a ping, and say so."""
        if kind == http2.SETTINGS:
            self._told(contents)
            contents = b""
        self._control += http2.head(kind, http2.ACKNOWLEDGES, 0, len(contents)) + contents

    def _told(self, contents: bytes) -> None:
        """Take the server's settings."""
        told: dict[int, int] = dict(struct.iter_unpack(">HI", contents))
        self._streams = told.get(http2.STREAMS, self._streams)
        if http2.TABLE in told:
            self._encoder.header_table_size = min(told[http2.TABLE], 4096)
        if http2.TABLE in told or not self.is_told:
            self._first_block, self._block = (self._encoder.encode(self.fields) for _ in range(2))
        if http2.STREAM_WINDOW in told:
            more = told[http2.STREAM_WINDOW] - self._stream_window
            self._stream_window += more
            for call in self.calls.values():
                call.window += more
        frame = min(told.get(http2.FRAME_SIZE, self._frame), self.largest_frame)
        if frame != self._frame or not self.is_told:
            self._frame, self._frames = frame, http2.Body(self.body, frame)
        self.is_told = True

    # Ends.

    def _over(self, stream: int) -> Call | None:
        self._ends = 0
        return self.calls.pop(stream, None)

    def _end(self, stream: int) -> None:
        """Check a whole answer and count it."""
        call = self._over(stream)
        if call is None:
            return
        self._uploads_no_more(call, tell=True)
        if call.status != "200":
            self.tally.failed(f"status {call.status}")
        elif call.grpc_status != "0":
            self.tally.failed(f"grpc-status {call.grpc_status}")
        elif call.received != self.answer:
            self.tally.failed(f"length {call.received}")
        elif call.prefix[:1] != b"\0":
            self.tally.failed("compressed")
        else:
            self.tally.latencies.append(self.clock() - call.began)

    def _uploads_no_more(self, call: Call, tell: bool) -> None:
        """Send no more of a call that has been answered before its end was sent."""
        if call.at < len(self.body):
            self._uploads.remove(call)
            if tell and call.at:
                self._control += http2.cancel(call.stream)


def _unpadded(flags: int, contents: bytes) -> bytes:
    """The fields of a frame of HEADERS."""
    if flags & http2.PADDED:
        contents = contents[1 : len(contents) - contents[0]]
    return contents[5:] if flags & http2.HAS_PRIORITY else contents
