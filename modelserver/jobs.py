"""A request on its way through a queue and a worker, and what comes back for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol

from attrs import define, field

from modelserver.errors import ServingError


class Answer(NamedTuple):
    """
    One item of a handler's answer, ready to be sent.

    :param status: the HTTP status the handler chose, 200 unless it did.
    :param head: ``b""``, or the reason phrase, CRLF, and header lines that each end in CRLF; checked by the
        worker process, so that it may be written as it is.
    """

    status: int
    head: bytes
    body: bytes | bytearray | memoryview


# A named tuple's own constructor is a function of Python's; answers are made for every request.
answer_of: Callable[[tuple[int, bytes, bytes | bytearray | memoryview]], Answer] = partial(
    tuple.__new__, Answer
)


class ResponseObserver(Protocol):
    """Whoever waits for a job. Exactly one of ``answered`` and ``failed`` is called, once, last."""

    def completed(self, job: Job, answer: Answer) -> None:
        """The handler's item for this job; the last part, if parts came before."""

    def next_part(self, job: Job, answer: Answer) -> bool:
        """A part of a streamed answer, more follow. Returns whether the observer can take more now."""

    def failed(self, job: Job, error: ServingError) -> None:
        """There will be no answer, and this is why."""


class Inputs(NamedTuple):
    """
    What a request brings for a handler, still encoded.

    :param head: the client's header lines, each ended by CRLF, as they came.
    :param extra: JSON of what the route adds (headers, query parameters), or ``b""`` for a plain prediction.
    :param flags: of ``modelserver.protocol.frames.JobFlag``.
    """

    head: bytes
    extra: bytes
    body: bytes | bytearray | SharedSlot
    flags: int = 0


inputs_of: Callable[[tuple[bytes, bytes, bytes | bytearray | SharedSlot, int]], Inputs] = partial(
    tuple.__new__, Inputs
)


@define(eq=False)
class SharedSlot:
    """
    A body in memory that server and workers share.

    :param offset: where it starts.
    :param size: its bytes.
    :param give_back: called once, when nobody can be reading it any more.
    """

    offset: int
    size: int
    give_back: Callable[[], object] | None = None

    def __len__(self) -> int:
        return self.size

    def free(self) -> None:
        """Nobody needs the body any more."""
        give_back, self.give_back = self.give_back, None
        if give_back is not None:
            give_back()


@define(eq=False)
class Job:
    """
    One request for one version of a model.

    :param id: 16 random bytes; shown as a UUID.
    :param observer: who is told.
    :param head: the client's header lines, each ended by CRLF, as they came.
    :param extra: JSON of what the route adds (headers, query parameters), or ``b""`` for a plain prediction.
    :param body: the request body, still encoded, or where it lies in shared memory.
    :param arrived: when the request was complete, in the clock's seconds.
    :param deadline: when the client stops waiting, or None.
    :param flags: of ``modelserver.protocol.frames.JobFlag``.
    :param exclusive: it may not share a batch (describe; a second try after a crash).
    :param asked: the version that the client named, or None.
    """

    id: bytes
    observer: ResponseObserver
    head: bytes
    extra: bytes
    body: bytes | bytearray | SharedSlot
    arrived: float
    deadline: float | None = None
    flags: int = 0
    exclusive: bool = False
    tries: int = 0
    assigned: float = 0.0
    streaming: bool = False
    asked: str | None = None
    resume: Callable[[], None] | None = None
    finished: bool = field(default=False, init=False)
    held: bool = field(default=False, init=False)
    """A worker has it, and may be reading its body."""

    def settle(self, outcome: Answer | ServingError) -> None:
        """The worker that had it is done with it: tell the observer, unless it was told already."""
        self.held = False
        if not self.finished:
            self.finished = True
            if isinstance(outcome, Answer):
                self.observer.completed(self, outcome)
            else:
                self.observer.failed(self, outcome)
        if type(self.body) is SharedSlot:
            self.body.free()

    def hand_over_place(self) -> SharedSlot | None:
        """Its place in shared memory, from now on the caller's to free: the answer may lie there."""
        place, self.body = self.body, b""
        return place if isinstance(place, SharedSlot) else None

    def fail(self, error: ServingError) -> None:
        """Tell the observer why there is no answer, unless it was told already."""
        if not self.finished:
            self._finish()
            self.observer.failed(self, error)

    def cancel(self) -> None:
        """The client is gone: nobody is told any more, and the job leaves its queue unserved."""
        if not self.finished:
            self._finish()

    def released_by_worker(self) -> None:
        """The worker that had it has it no more."""
        self.held = False
        if self.finished and type(self.body) is SharedSlot:
            self.body.free()

    def _finish(self) -> None:
        self.finished = True
        if not self.held and type(self.body) is SharedSlot:
            self.body.free()
