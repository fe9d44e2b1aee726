"""A request on its way through a queue and a worker, and what comes back for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from functools import partial
from operator import itemgetter
from typing import NamedTuple, Protocol, overload

from attrs import field

from modelserver.errors import ServingError
from modelserver.language.attributes import define


class Answer(NamedTuple):
    """
    One item of a handler's answer, ready to be sent.

    :param status: the HTTP status the handler chose, 200 unless it did.
    :param header_block: ``b""``, or the reason phrase, CRLF, and header lines that each end in CRLF; checked
        by the worker process, so that it may be written as it is.
    """

    status: int
    header_block: bytes
    body: bytes | bytearray | memoryview


# A named tuple's own constructor is a function of Python's; answers are made for every request.
answer_of: Callable[[tuple[int, bytes, bytes | bytearray | memoryview]], Answer] = partial(
    tuple.__new__, Answer
)


class TimedAnswer(Answer):
    """
    An answer with what its worker tells of its call, where that is three times and no more.

    :ivar marks: these, as they came: ``protocol.call_times`` has their meaning.
    """

    marks: bytes


class StreamedParts(Sequence[Answer]):
    """
    Parts of the answer to one job, none empty, of which only the first has more than a body.

    Streams have many, and who needs their bodies alone is spared an ``Answer`` for each.

    :ivar bodies: of all of them.
    """

    __slots__ = ("_first", "bodies")

    def __init__(self, first: Answer) -> None:
        self._first = first
        self.bodies: list[bytes | bytearray | memoryview] = [first.body]

    def __len__(self) -> int:
        return len(self.bodies)

    @overload
    def __getitem__(self, place: int) -> Answer: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Answer]: ...
    def __getitem__(self, place: int | slice) -> Answer | Sequence[Answer]:
        if isinstance(place, slice):
            return list(self)[place]
        if place == 0:
            return self._first
        body = self.bodies[place]
        return self._first if place == -len(self.bodies) else answer_of((200, b"", body))

    def __iter__(self) -> Iterator[Answer]:
        yield self._first
        for body in self.bodies[1:]:
            yield answer_of((200, b"", body))


_BODY: Callable[[Answer], bytes | bytearray | memoryview] = itemgetter(2)


def bodies_of(parts: Sequence[Answer]) -> list[bytes | bytearray | memoryview]:
    """Return the bodies of parts of an answer."""
    return parts.bodies if type(parts) is StreamedParts else list(map(_BODY, parts))


class ResponseObserver(Protocol):
    """Whoever waits for a job. Exactly one of ``completed`` and ``failed`` is called, once, last."""

    def completed(self, job: Job, answer: Answer) -> None:
        """The handler's item for this job; the last part, if parts came before."""

    def next_parts(self, job: Job, parts: Sequence[Answer]) -> bool:
        """
        Parts of a streamed answer, at least one, none empty; more follow.

        Returns whether the observer can take more now.
        """

    def failed(self, job: Job, error: ServingError) -> None:
        """There will be no answer, and this is why."""


class CallMarks(NamedTuple):
    """
    What a worker tells of a call that has a traced request. Times are monotonic seconds, all processes' own.

    :param begun: when its requests were begun to be decoded.
    :param called: when the handler was called.
    :param returned: when it was done.
    :param more: what the handler tells, as JSON has it: ``steps`` (name, begin, end, the number of the step
        that it is a part of or -1, attributes), ``attributes`` by the place of a request, -1 being all, and
        ``failed``, the class of what it raised.
    """

    begun: float
    called: float
    returned: float
    more: Mapping[str, object] = {}


NO_MORE: Mapping[str, object] = {}
marks_of: Callable[[tuple[float, float, float, Mapping[str, object]]], CallMarks] = partial(
    tuple.__new__, CallMarks
)


class Inputs(NamedTuple):
    """
    What a request brings for a handler, still encoded.

    :param header_block: the client's header lines, each ended by CRLF, as they came.
    :param extra: JSON of what the route adds (headers, query parameters), or ``b""`` for a plain prediction.
    :param flags: of ``modelserver.protocol.frames.JobFlag``.
    """

    header_block: bytes
    extra: bytes
    body: bytes | bytearray | SharedSlot
    flags: int = 0


inputs_of: Callable[[tuple[bytes, bytes, bytes | bytearray | SharedSlot, int]], Inputs] = partial(
    tuple.__new__, Inputs
)


NOWHERE = -1
"""In the stead of a place in shared memory: there is none."""


@define(eq=False)
class SharedSlot:
    """
    A body in memory that server and workers share.

    :param offset: where it starts.
    :param size: its bytes.
    :param give_back: called once, when nobody can be reading it any more.
    :param answer_at: where a worker may lay a large answer: another slot of the same owner, or ``NOWHERE``;
        None: over the body.
    """

    offset: int
    size: int
    give_back: Callable[[], object] | None = None
    answer_at: int | None = None

    def __len__(self) -> int:
        return self.size

    def free(self) -> None:
        """Nobody needs the body any more."""
        give_back, self.give_back = self.give_back, None
        if give_back is not None:
            give_back()


class JobState(Enum):
    """Where a job is on its way."""

    WAITING = "waiting"
    """In a queue, also after a worker died with it."""
    ASSIGNED = "assigned"
    """A worker has it, and no part of its answer has come."""
    STREAMING = "streaming"
    """Parts of its answer have come, the last one not yet."""
    FINISHED = "finished"
    """Its observer was told the end, or its client has left. A worker may still hold it."""


# Aliases: attribute access on an Enum is slow on the request path.
WAITING, ASSIGNED, STREAMING, FINISHED = (
    JobState.WAITING,
    JobState.ASSIGNED,
    JobState.STREAMING,
    JobState.FINISHED,
)


class JobRequest(NamedTuple):
    """
    What a job is asked to do; it does not change while the job is on its way.

    :param id: 16 random bytes; shown as a UUID.
    :param header_block: the client's header lines, each ended by CRLF, as they came.
    :param extra: JSON of what the route adds (headers, query parameters), or ``b""`` for a plain prediction.
    :param body: the request body, still encoded, or where it lies in shared memory.
    :param flags: of ``modelserver.protocol.frames.JobFlag``.
    :param asked: the version that the client named, or None.
    :param arrived: when the request was complete, in the clock's (monotonic) seconds.
    :param deadline: when the client stops waiting, in the clock's seconds, or None.
    """

    id: bytes
    header_block: bytes
    extra: bytes
    body: bytes | bytearray | SharedSlot
    flags: int
    asked: str | None
    arrived: float
    deadline: float | None


request_of: Callable[
    [tuple[bytes, bytes, bytes, bytes | bytearray | SharedSlot, int, str | None, float, float | None]],
    JobRequest,
] = partial(tuple.__new__, JobRequest)


class JobHolder(Protocol):
    """The batches in flight of one worker, as the jobs among them know it."""

    def cancel_stream(self, job: Job) -> None:
        """Have the worker's handler send no more parts for ``job``, whose client is gone."""

    def resume(self, job: Job) -> None:
        """Let the handler send further parts: the observer of ``job`` can take them, or is told the end."""

    def recall(self, job: Job) -> None:
        """Have ``job`` wait in the queue again, if the worker has not begun it."""


class JobBucket(Protocol):
    """Jobs whose deadlines are watched together."""

    def leave(self, job: Job) -> None:
        """Watch ``job`` no more."""


@define(eq=False)
class Job:
    """
    One request for one version of a model, on its way.

    :param observer: who is told.
    :param exclusive: it may not share a batch (describe; a second try after a crash).
    :param tries: how many workers have died while they worked on it.
    :param holder: the worker's batches among which it is, None while no worker has it. A worker that has it
        may be reading its body, also when the job is finished.
    :param dropped: called when the job is finished other than by a worker's answer; set while a pool waits to
        be idle, for no worker tells the end of a job that waits.
    :param bucket: where its deadline is watched, if it has one; it leaves when it is finished.
    :param assigned: when the worker got it, in the clock's (monotonic) seconds; not set before.
    """

    request: JobRequest
    observer: ResponseObserver
    exclusive: bool = False
    # Not ``init=False``: attrs looks such defaults up for each new job, which takes as long as a call.
    tries: int = 0
    state: JobState = WAITING
    holder: JobHolder | None = None
    dropped: Callable[[], object] | None = None
    bucket: JobBucket | None = None
    assigned: float = field(init=False)

    @property
    def finished(self) -> bool:
        """Whether nobody waits for it any more. The request path compares ``state`` instead."""
        return self.state is FINISHED

    def settle(self, outcome: Answer | ServingError) -> None:
        """Tell the observer what the worker that had the job says, unless the observer was told already."""
        self.holder = None
        try:
            if self.state is not FINISHED:
                self.state = FINISHED
                if self.bucket is not None:
                    self.bucket.leave(self)
                if isinstance(outcome, Answer):
                    self.observer.completed(self, outcome)
                else:
                    self.observer.failed(self, outcome)
        finally:
            body = self.request.body
            if type(body) is SharedSlot:
                body.free()

    def move_body(self, place: SharedSlot) -> None:
        """Have its body, which was copied there, lie in shared memory; the place is the job's from now on."""
        request_id, block, extra, _, flags, asked, arrived, deadline = self.request
        self.request = request_of((request_id, block, extra, place, flags, asked, arrived, deadline))

    def hand_over_place(self) -> SharedSlot | None:
        """Return its place in shared memory, from now on the caller's to free: the answer may lie there."""
        request_id, block, extra, place, flags, asked, arrived, deadline = self.request
        if type(place) is not SharedSlot:
            return None
        self.request = request_of((request_id, block, extra, b"", flags, asked, arrived, deadline))
        return place

    def fail(self, error: ServingError) -> None:
        """Tell the observer why there is no answer, unless it was told already."""
        if self.state is not FINISHED:
            self._finish()
            self.resume()  # the handler need not wait until somebody takes its parts: nobody will
            self.observer.failed(self, error)

    def recall(self) -> None:
        """Wait in the queue again if a worker has the job, but has not begun it."""
        if self.holder is not None:
            self.holder.recall(self)

    def cancel(self) -> None:
        """Tell nobody any more: the client is gone, and the job leaves its queue unserved if it waits."""
        if self.state is not FINISHED:
            self.recall()
            self._finish()

    def withdraw(self) -> None:
        """Cancel the job, and have the handler that streams to its client told, if there is one."""
        self.cancel()
        if self.holder is not None:
            self.holder.cancel_stream(self)

    def resume(self) -> None:
        """Let a handler that was held send its next part: the observer can take more."""
        if self.holder is not None:
            self.holder.resume(self)

    def taken_back(self) -> None:
        """Wait for another worker: the one that had the job has not begun it, and will not."""
        self.holder = None
        if self.state is FINISHED:
            self._free()
        else:
            self.state = WAITING

    def released_by_worker(self) -> None:
        """Free the body of a finished job: the worker that had it is gone."""
        self.holder = None
        if self.state is FINISHED:
            self._free()

    def wait_again(self) -> None:
        """Wait for another worker, which may then work on nothing else."""
        self.exclusive = True
        self.state = WAITING

    def _finish(self) -> None:
        self.state = FINISHED
        if self.bucket is not None:
            self.bucket.leave(self)
        if self.holder is None:
            self._free()
        if self.dropped is not None:
            self.dropped()

    def _free(self) -> None:
        body = self.request.body
        if type(body) is SharedSlot:
            body.free()
