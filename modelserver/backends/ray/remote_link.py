"""The server's end of a node's connection: frames in and out, without ever blocking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

from attrs import field
from twisted.internet.defer import Deferred, succeed

from modelserver.backends.ray.secure_stream import SecureStream
from modelserver.interfaces import EventLoop
from modelserver.jobs import Job, JobRequest, SharedSlot
from modelserver.language.attributes import define
from modelserver.protocol.frame_stream import FrameReader
from modelserver.protocol.frames import Frame, FrameError, Pieces, pack_batch

MOST_READS = 32
"""Times that one connection is read in one turn of the event loop."""


class RemoteLinkEvents(Protocol):
    """What a link reports."""

    def heard(self) -> None:
        """Something has come."""

    def frame_arrived(self, frame: Frame) -> None:
        """A whole frame; its payload is good until this returns."""

    def turn_ended(self) -> None:
        """All frames that were here have been reported."""

    def closed(self, problem: str | None) -> None:
        """The node has closed the connection, or it is broken, or (``problem``) sent what is no frame."""


@define(eq=False)
class RemoteLink:
    """
    Owns a connection whose token is known.

    :param slots: the memory in which large bodies lie: nodes do not see it, and get the bytes.
    """

    stream: SecureStream
    loop: EventLoop
    events: RemoteLinkEvents
    largest: int
    slots: memoryview | None = None
    _reader: FrameReader = field(init=False)
    _turn: Pieces = field(factory=list, init=False)
    _is_open: bool = field(default=True, init=False)
    _is_writing: bool = field(default=False, init=False)
    _drained: list[Deferred[None]] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self._reader = FrameReader(self.largest)

    def open(self) -> None:
        """Begin to read; some of it may be decrypted already."""
        self.loop.add_reader(self.stream.socket.fileno(), self._readable)
        self.loop.call_soon(self._readable)

    @property
    def is_open(self) -> bool:
        """Whether anything can still be said."""
        return self._is_open

    @property
    def backlog(self) -> int:
        """How many bytes wait for the network."""
        return self.stream.backlog

    def send_batch(self, number: int, jobs: Sequence[Job], flags: int = 0) -> None:
        """Send a batch at the next ``flush``; ``flags`` are its frame's."""
        self._turn += pack_batch(number, [self._loose(job) for job in jobs], flags)

    def _loose(self, job: Job) -> Job:
        """Return the job, its body in the frame instead of shared memory."""
        body = job.request.body
        if type(body) is not SharedSlot:
            return job
        assert self.slots is not None
        view = self.slots[body.offset : body.offset + body.size]
        # Frames are made of a job's request alone.
        return cast(Job, _Loose(job.request._replace(body=view)))  # type: ignore[arg-type]  # bytes, too

    def send(self, frame: bytes, *more: bytes) -> None:
        """Send a frame now."""
        self._turn += (frame, *more)
        self.flush()

    def flush(self) -> None:
        """Write what has been collected."""
        pieces, self._turn = self._turn, []
        if not self._is_open or not pieces:
            return
        try:
            self.stream.write(pieces)
        except OSError:
            return  # the reader will meet the end of the stream, and what came before it
        self._watch_writing()

    def _watch_writing(self) -> None:
        if self.stream.has_backlog and not self._is_writing:
            self._is_writing = True
            self.loop.add_writer(self.stream.socket.fileno(), self._writable)

    def _writable(self) -> None:
        try:
            is_done = self.stream.flush()
        except OSError:
            is_done = True
        if is_done:
            self._is_writing = False
            self.loop.remove_writer(self.stream.socket.fileno())
            self._tell_drained()

    def drained(self) -> Deferred[None]:
        """Fire when nothing waits for the network, or the link is closed."""
        if not self._is_open or not self._is_writing:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._drained.append(waiter)
        return waiter

    def _tell_drained(self) -> None:
        waiting, self._drained = self._drained, []
        for waiter in waiting:
            waiter.callback(None)

    def _readable(self) -> None:
        for _ in range(MOST_READS):
            if not self._is_open:
                return
            try:
                received = self._reader.fill(self.stream)
            except BlockingIOError:
                break
            except OSError:
                received = 0
            if not received:
                self._end(None)
                return
            self.events.heard()
            problem = self._hand_out()
            if problem is not None:
                self._end(problem)
                return
            if not self.stream.has_input:
                break
        else:
            self.loop.call_soon(self._readable)
        if self._is_open:
            self.events.turn_ended()
            self._watch_writing()

    def _hand_out(self) -> str | None:
        """Report the frames that are here; returns what is wrong with one of them."""
        try:
            while self._is_open and (frame := self._reader.next()) is not None:
                self.events.frame_arrived(frame)
        except (FrameError, LookupError) as error:
            return str(error)
        return None

    def _end(self, problem: str | None) -> None:
        if self._is_open:
            self.close()
            self.events.closed(problem)

    def close(self) -> None:
        """Read and write no more."""
        if self._is_open:
            self._is_open = False
            descriptor = self.stream.socket.fileno()
            self.loop.remove_reader(descriptor)
            if self._is_writing:
                self.loop.remove_writer(descriptor)
            self.stream.close()
            self._tell_drained()


class _Loose:
    """Stands for a job while its frame is made."""

    __slots__ = ("request",)

    def __init__(self, request: JobRequest) -> None:
        self.request = request
