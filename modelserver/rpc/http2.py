"""The seam to HTTP/2: the state of one connection without I/O. Providers are in ``rpc/engines``."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Protocol

from modelserver.language.attributes import frozen
from modelserver.rpc.wire.fields import Fields


class ErrorCode(IntEnum):
    """Those of HTTP/2's error codes (RFC 9113, 7) that a server sends, or that an engine's error may name."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    ENHANCE_YOUR_CALM = 11


FRAME = 1 << 14
"""Bytes of a frame that any peer takes (RFC 9113, 4.2)."""
LARGEST_WINDOW = (1 << 31) - 1
"""Bytes (RFC 9113, 6.9.1)."""


@frozen
class Http2Limits:
    """
    What a peer may do; sizes are in bytes.

    :param streams: at once.
    :param window: of the body of one stream that may be on its way.
    :param connection_window: of all bodies.
    :param frame: the largest.
    :param told_fields: of the fields of a request; the peer is told, and more is refused call by call.
    :param most_fields: likewise; more ends the connection.
    :param most_field_lines: that a request may have.
    :param most_continuations: frames that the fields of a request may go on in.
    :param resets: of streams: how many at once, and how many a second.
    :param glitches: likewise, of frames that make no sense.
    :param most_acknowledgements: of pings and settings that may wait to be sent.
    """

    streams: int = 100
    window: int = 1 << 20
    connection_window: int = 16 << 20
    frame: int = 1 << 20
    told_fields: int = 16 << 10
    most_fields: int = 64 << 10
    most_field_lines: int = 256
    most_continuations: int = 8
    resets: tuple[int, int] = (5000, 1000)
    glitches: tuple[int, int] = (5000, 200)
    most_acknowledgements: int = 500


class StreamGone(Exception):
    """The stream, or the whole connection, has ended; the listener is told of it by ``closed``, or was."""


class ConnectionBroken(Exception):
    """
    The connection cannot go on.

    :param code: what the peer is to be told, or None: it was told already.
    """

    def __init__(self, code: int | None, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


class Http2Events(Protocol):
    """
    Who is told what a peer does.

    It is told in order, but what it is told may be history: what came with it may have closed the stream.
    """

    def requested(self, stream: int, fields: tuple[tuple[bytes, bytes], ...], ended: bool) -> None:
        """A request begins; ``ended``: it has no body."""

    def body_came(self, stream: int, data: bytes, ended: bool) -> None:
        """A piece of its body came, perhaps an empty one; ``ended``: the last."""

    def was_reset(self, stream: int) -> None:
        """The peer has given up the stream; ``closed`` follows."""

    def closed(self, stream: int) -> None:
        """The stream is over for both sides, once."""

    def pinged(self) -> None:
        """A ping came, and is answered; or settings, which cost as much."""

    def ponged(self, data: bytes) -> None:
        """The answer to a ping came."""

    def ready(self) -> None:
        """The peer's first settings came: it does speak HTTP/2."""

    def ended(self) -> None:
        """The peer will begin nothing more."""


class Http2Engine(Protocol):
    """
    One connection's state. Only ``receive`` and ``take_output`` raise ``ConnectionBroken``, and after it
    there is nothing more to be had; what concerns a stream that is gone is passed over, or ``StreamGone``.

    :param has_more: whether ``take_output`` has left something that could be sent at once.
    :param peer_frame: bytes of a frame that the peer takes.
    """

    has_more: bool
    peer_frame: int

    @property
    def unique(self) -> Callable[[tuple[bytes, bytes]], tuple[bytes, bytes]]:
        """Marks a field whose value comes only once: neither side is to remember it."""

    def start(self) -> None:
        """Say our settings."""

    def receive(self, data: bytes | memoryview) -> int:
        """
        Take bytes, and tell of them; return how much happened, as a count of events.

        :raises ConnectionBroken: the connection is to be closed.
        """

    def take_output(self) -> bytes:
        """
        Return what is to be sent now: not more than so much that a slow peer is noticed.

        :raises ConnectionBroken: the connection is to be closed.
        """

    def queued(self, stream: int | None = None) -> int:
        """Return the bytes of the answers, or of one, that wait for the peer's windows."""

    def window(self, stream: int | None = None) -> int:
        """Return the bytes of a stream's answer, or of all, for which the peer's window is open."""

    def answer(self, stream: int, head: Fields, body: bytes, tail: Fields) -> None:
        """
        Send a whole answer.

        :raises StreamGone: nobody waits for it.
        """

    def answer_head(self, stream: int, head: Fields, ends: bool) -> None:
        """
        Send the head of an answer, which may be all of it.

        :raises StreamGone: nobody waits for it.
        """

    def answer_part(self, stream: int, data: bytes) -> None:
        """
        Send more of an answer's body.

        :raises StreamGone: nobody waits for it.
        """

    def answer_tail(self, stream: int, tail: Fields) -> None:
        """
        Send the end of an answer.

        :raises StreamGone: nobody waits for it.
        """

    def has_sent(self, stream: int) -> bool:
        """Return whether nothing of the stream's answer is left, once all that could be sent was taken."""

    def consumed(self, stream: int, size: int) -> None:
        """Let the peer send ``size`` bytes more."""

    def reset(self, stream: int, code: ErrorCode) -> None:
        """Give up a stream; ``closed`` follows, perhaps later."""

    def forget(self, stream: int) -> None:
        """
        Take an answered stream as one that the peer has given up; only ``closed`` is told of it, at once.

        Not while a part of a frame was received.
        """

    def ping(self, data: bytes) -> None:
        """Ask for a sign of life, behind what was announced; ``data`` has 8 bytes."""

    def announce_end(self) -> None:
        """Ask the peer to begin nothing more; what is on its way is still served."""

    def end(self, code: ErrorCode, reason: bytes) -> None:
        """Serve nothing that begins from now on, and say why."""


class EngineMaker(Protocol):
    """Makes the engine of a connection."""

    def __call__(self, events: Http2Events, limits: Http2Limits) -> Http2Engine: ...


def last_words(highest: int, code: int, reason: str = "") -> bytes:
    """
    Return a GOAWAY frame, for when the engine cannot say it any more.

    :param highest: the last stream that was begun.
    """
    body = highest.to_bytes(4, "big") + code.to_bytes(4, "big") + reason.encode("ascii", "replace")[:200]
    return len(body).to_bytes(3, "big") + b"\x07\0\0\0\0\0" + body


def window_update(stream: int, size: int) -> bytes:
    """
    Return a WINDOW_UPDATE frame, for bytes that the engine has not seen.

    :param stream: 0: the connection.
    """
    return b"\0\0\x04\x08\0" + stream.to_bytes(4, "big") + size.to_bytes(4, "big")


def data_head(stream: int, size: int, flags: int = 0) -> bytes:
    """Return what comes before the contents of a DATA frame."""
    return size.to_bytes(3, "big") + bytes((0, flags)) + stream.to_bytes(4, "big")


def end_of(stream: int) -> bytes:
    """Return the frame that ends a request, and says nothing else."""
    return b"\0\0\0\0\1" + stream.to_bytes(4, "big")


def opens_all(data: bytes, at: int) -> bool:
    """Return whether the frame that begins at a place opens the connection's window."""
    return data[at : at + 4] == b"\0\0\4\x08" and data[at + 5 : at + 9] == b"\0\0\0\0"


def given_up(stream: int) -> bytes:
    """Return a RST_STREAM frame without an error."""
    return b"\0\0\x04\x03\0" + stream.to_bytes(4, "big") + b"\0\0\0\0"


class EndedEngine:
    """Stands in for the engine of a connection that is lost, and so opens their circle of references."""

    has_more = False
    peer_frame = FRAME

    @staticmethod
    def unique(field: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
        """There is nothing to mark."""
        return field

    def start(self) -> None:
        """Do nothing, like all that follow."""

    def receive(self, data: bytes | memoryview) -> int:
        """Nothing happens."""
        return 0

    def take_output(self) -> bytes:
        """There is none."""
        return b""

    def queued(self, stream: int | None = None) -> int:
        """Nothing waits."""
        return 0

    def window(self, stream: int | None = None) -> int:
        """It is shut."""
        return 0

    def answer(self, stream: int, head: Fields, body: bytes, tail: Fields) -> None:
        """Nobody waits for it."""
        raise StreamGone

    def answer_head(self, stream: int, head: Fields, ends: bool) -> None:
        """Nobody waits for it."""
        raise StreamGone

    def answer_part(self, stream: int, data: bytes) -> None:
        """Nobody waits for it."""
        raise StreamGone

    def answer_tail(self, stream: int, tail: Fields) -> None:
        """Nobody waits for it."""
        raise StreamGone

    def has_sent(self, stream: int) -> bool:
        """It will never be."""
        return False

    def consumed(self, stream: int, size: int) -> None:
        """Nobody sends."""

    def reset(self, stream: int, code: ErrorCode) -> None:
        """It is over."""

    def forget(self, stream: int) -> None:
        """It is over."""

    def ping(self, data: bytes) -> None:
        """Nobody is there."""

    def announce_end(self) -> None:
        """It has come."""

    def end(self, code: ErrorCode, reason: bytes) -> None:
        """It has come."""
