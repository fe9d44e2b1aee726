"""The server's end of a worker's socket: frames in and out, without ever blocking."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Protocol

from attrs import field

from modelserver.interfaces import EventLoop
from modelserver.jobs import Job
from modelserver.language.attributes import define
from modelserver.protocol.frame_stream import FrameReader, unsent
from modelserver.protocol.frames import SMALL, Frame, FrameError, Pieces, pack_batch


class FrameSocketEvents(Protocol):
    """What a link reports."""

    def frame_arrived(self, frame: Frame) -> None:
        """A whole frame; its payload is good until this returns."""

    def turn_ended(self) -> None:
        """All frames that were in the socket have been reported."""

    def closed(self, problem: str | None) -> None:
        """The other side is gone, or (``problem``) sent what is no frame."""


@define(eq=False)
class FrameSocket:
    """Owns a connected socket."""

    socket: socket.socket
    loop: EventLoop
    events: FrameSocketEvents
    largest: int = 1 << 31
    _reader: FrameReader = field(init=False)
    _turn: Pieces = field(factory=list, init=False)
    _backlog: Pieces = field(factory=list, init=False)
    _open: bool = field(default=True, init=False)

    def __attrs_post_init__(self) -> None:
        self._reader = FrameReader(self.largest)

    def open(self) -> None:
        """Begin to read."""
        self.socket.setblocking(False)
        self.loop.add_reader(self.socket.fileno(), self._readable)

    def send_batch(self, number: int, jobs: Sequence[Job], flags: int = 0) -> None:
        """Send a batch at the next ``flush``; ``flags`` are its frame's."""
        self._turn += pack_batch(number, jobs, flags)

    def send(self, frame: bytes) -> None:
        """Send a small frame now."""
        self._turn.append(frame)
        self.flush()

    def send_with(self, frame: bytes, descriptors: Sequence[int]) -> None:
        """
        Send a small frame now, and descriptors with it.

        :raises OSError: the socket does not take it at once.
        """
        socket.send_fds(self.socket, [frame], list(descriptors))

    def flush(self) -> None:
        """Write what has been collected, in one call where the socket takes it."""
        pieces, self._turn = self._turn, []
        if not self._open or not pieces:
            return
        if self._backlog:
            self._backlog += pieces
            return
        self._write(pieces)
        if self._backlog:
            self.loop.add_writer(self.socket.fileno(), self._writable)

    def _write(self, pieces: Pieces) -> None:
        size = len(pieces[0]) if len(pieces) == 1 else sum(map(len, pieces))
        try:
            if size < SMALL:
                whole = pieces[0] if len(pieces) == 1 else b"".join(pieces)
                pieces = [whole]
                sent = self.socket.send(whole)
            else:
                sent = self.socket.sendmsg(pieces[:1000])
        except BlockingIOError:
            sent = 0
        except OSError:
            # The reader will meet the end of the stream and report it, with what can still be read before it.
            pieces, sent = [], 0
        self._backlog = [] if sent == size else unsent(pieces, sent)

    def _writable(self) -> None:
        self._write(self._backlog)
        if not self._backlog:
            self.loop.remove_writer(self.socket.fileno())

    def _readable(self) -> None:
        try:
            received = self._reader.fill(self.socket)
        except BlockingIOError:
            return
        except OSError:
            received = 0
        problem = self._hand_out()
        if not self._open:
            return
        if problem is not None or not received:
            self.close()
            self.events.closed(problem)
        else:
            self.events.turn_ended()

    def _hand_out(self) -> str | None:
        """Report the frames that are here; returns what is wrong with one of them."""
        try:
            # No ``for``: to make an iterator for the one frame that is usual takes as long as to read it.
            while (frame := self._reader.next()) is not None:
                self.events.frame_arrived(frame)
                if not self._open:
                    break
        except (FrameError, LookupError) as error:
            return str(error)
        return None

    def drain(self) -> None:
        """The other side has ended: report all that it still had written."""
        while self._open:
            try:
                received = self._reader.fill(self.socket)
            except OSError:
                return
            if not received or self._hand_out() is not None:
                return

    def close(self) -> None:
        """Read and write no more."""
        if self._open:
            self._open = False
            descriptor = self.socket.fileno()
            self.loop.remove_reader(descriptor)
            if self._backlog:
                self.loop.remove_writer(descriptor)
            self.socket.close()


def socket_pair(buffer: int) -> tuple[socket.socket, socket.socket]:
    """A connected pair with buffers of ``buffer`` bytes, as far as the system allows."""
    pair = socket.socketpair()
    for end in pair:
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            _widen(end.setsockopt, option, buffer)
    return pair


def _widen(setsockopt: Callable[[int, int, int], None], option: int, size: int) -> None:
    # The FORCE variants (one number above SO_SNDBUF 7 is 32, above SO_RCVBUF 8 is 33) need a capability.
    forced = {socket.SO_SNDBUF: 32, socket.SO_RCVBUF: 33}[option]
    try:
        setsockopt(socket.SOL_SOCKET, forced, size)
    except OSError:
        setsockopt(socket.SOL_SOCKET, option, size)
