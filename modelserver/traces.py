"""
The seam for traces: what a server tells of requests and workers where they are traced (OpenTelemetry).

It belongs to ``interfaces``, which would be too long with it. Times are the clock's (monotonic) seconds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import ParamSpec, Protocol, TypeVar

from modelserver.errors import ServingError
from modelserver.jobs import Answer, CallMarks, Inputs, Job, ResponseObserver
from modelserver.language.attributes import define
from modelserver.spec import WorkerFailure, WorkerSpec

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Asked = TypeVar("Asked")
Facts = TypeVar("Facts")
AttributeValue = str | bool | int | float
Attributes = Mapping[str, AttributeValue]


class FixedAttributes(dict[str, AttributeValue]):
    """
    Attributes that many spans have. They never change.

    :ivar encoded: what an encoder has made of them; None before.
    """

    __slots__ = ("encoded",)

    def __init__(self, attributes: Attributes) -> None:
        super().__init__(attributes)
        self.encoded: bytes | None = None


Told = tuple[str, FixedAttributes]
"""A span's name, and what is said of what was asked."""
NOTHING_TOLD: Told = ("", FixedAttributes({}))
AnswerTold = tuple[FixedAttributes, Attributes]
"""What is said of an answer, in two parts without a common name: what many have, and the rest."""


def server_named(authority: str) -> Attributes:
    """Return what is said of the server by the name that a client has for it, which may have a port."""
    host, _, port = authority.rpartition(":")
    # An IPv6 address has colons of its own, and brackets around it where a port may follow.
    is_apart = ":" in authority and (":" not in host or host.endswith("]"))
    if is_apart and port.isascii() and port.isdigit() and len(port) <= 5:
        return {"server.address": host.strip("[]"), "server.port": int(port)}
    return {"server.address": authority.strip("[]")}


class Trace(Protocol):
    """
    A traced request or operation, or a part of one, until it has ended; what comes after that is dropped.

    :param trace_id: 32 hexadecimal digits.
    """

    @property
    def trace_id(self) -> str: ...

    def run(
        self, function: Callable[Arguments, Result], /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        """Call a function, while which this is the tracer's ``current``."""

    def named(self, name: str) -> None:
        """Set the span's name, which is one of few: it holds no ids, and no path that a client has sent."""

    def note(self, attributes: Attributes) -> None:
        """Add attributes."""

    def happened(self, name: str, attributes: Attributes | None = None) -> None:
        """Note that something has happened now."""

    def watch(self, observer: ResponseObserver) -> ResponseObserver:
        """Return an observer that tells the given one, while which this is the tracer's ``current``."""

    def follow(self, inputs: Inputs, observer: ResponseObserver) -> tuple[Inputs, ResponseObserver]:
        """Return what to queue a job with for it to be traced as a part of this, its worker included."""

    def took(self, name: str) -> None:
        """Add a part that began with this, and is over now."""

    def part(self, name: str) -> Trace:
        """Begin a part."""

    def end(self, error: str | None = None) -> None:
        """End, and with it all parts that have not ended; ``error``: why it failed."""

    def closed(self, tell: Callable[[Facts], AnswerTold], facts: Facts, error: str | None = None) -> None:
        """
        End with an answer, of which ``tell`` tells: now, or when there are more such requests.

        :param error: see ``end``.
        """


class JobNotes(Protocol):
    """Is told of a traced job what its observer is told, just before."""

    def part_came(self, job: Job) -> None:
        """A part of a streamed answer came."""

    def failed(self, job: Job, reason: str) -> None:
        """There will be no answer, and the client is told so."""

    def left(self, job: Job, reason: str) -> None:
        """There will be no answer, and nobody who is told."""


class TracingObserver(ABC):
    """An observer of a job whose request is traced; it stands before the one that waits for the answer."""

    __slots__ = ()

    @abstractmethod
    def withdrawn(self, job: Job, reason: str) -> None:
        """End the trace: the client has left."""


@define(eq=False)
class TracedObserver(TracingObserver):
    """
    Tells the observer that it stands before on behalf of a trace.

    :param notes: of the job itself; None: it is no worker's.
    """

    observer: ResponseObserver
    trace: Trace
    notes: JobNotes | None = None

    def completed(self, job: Job, answer: Answer) -> None:
        """Pass an answer on."""
        self.trace.run(self.observer.completed, job, answer)

    def next_parts(self, job: Job, parts: Sequence[Answer]) -> bool:
        """Pass parts on."""
        if self.notes is not None:
            self.notes.part_came(job)
        return self.trace.run(self.observer.next_parts, job, parts)

    def failed(self, job: Job, error: ServingError) -> None:
        """Pass on why there is no answer."""
        if self.notes is not None:
            self.notes.failed(job, str(error))
        self.trace.run(self.observer.failed, job, error)

    def withdrawn(self, job: Job, reason: str) -> None:
        """End the trace: the client has left."""
        if self.notes is not None:
            self.notes.left(job, reason)
        self.trace.end(reason)


def withdrawn(job: Job) -> None:
    """End the trace of a job whose client has left, if it is traced."""
    observer = job.observer
    if isinstance(observer, TracingObserver):
        observer.withdrawn(job, "The client has left.")


AnsweredCalls = tuple[WorkerSpec, Sequence[Job], int, float, float]
"""
Calls of a handler that came back together: who has made them, for which jobs, how many there were (more than
one: each job is a batch by itself), when they came back, and the seconds that the handler took for all.
"""


class Tracer(Protocol):
    """
    Records what happens with some requests, and with workers. Where traces are off, there is none.

    :param current: the traced request on whose behalf the present call is made, or None.
    :param under_way: how many traces have begun and not ended; while there is none, no job is of one.
    :param unfolded: how many of them have to be told of answers by ``calls_answered``; the observers of the
        others' jobs find all of it in ``answering``, unless their jobs have shared a batch.
    :param answering: the calls whose jobs are told of their answers now; None: there are none.
    :param gap: returns how many requests whose clients have no trace are not traced before the next one that
        is, which is ``due`` then. Who counts them need not ask for each of them.
    """

    current: Trace | None
    under_way: int
    unfolded: int
    answering: AnsweredCalls | None
    gap: Callable[[], int]

    def begin(
        self, traceparent: bytes | None, tracestate: bytes | None = None, started: float | None = None
    ) -> Trace | None:
        """
        Begin the trace of a request, or go on with its client's; None: the request is not traced.

        :param started: in the clock's (monotonic) seconds; None: now.
        """

    def due(self, tell: Callable[[Asked], Told], asked: Asked) -> Trace:
        """
        Begin the trace of a request now: a ``gap`` is over, and its client has no trace.

        :param tell: makes the span's name and attributes: now, or when there are more such requests.
        """

    def continued(
        self,
        tell: Callable[[Asked], Told],
        asked: Asked,
        traceparent: bytes | None,
        tracestate: bytes | None = None,
    ) -> Trace | None:
        """Go on now with the trace of a request's client; None: the request is not traced. See ``due``."""

    def operation(self, name: str, attributes: Attributes) -> Trace:
        """Begin something that the server does, as a part of ``current`` if there is one."""

    def worker_launched(self, worker: WorkerSpec) -> None:
        """A worker process is started."""

    def worker_loaded(self, worker: WorkerSpec) -> None:
        """It has loaded the model."""

    def worker_exited(self, worker: WorkerSpec, failure: WorkerFailure, is_wanted: bool) -> None:
        """It is gone; ``is_wanted``: it had been told to end."""

    def calls_answered(
        self, answered: AnsweredCalls, traced: Sequence[tuple[Job, Answer | ServingError]]
    ) -> None:
        """Answers came, whose jobs are told after this; ``traced``: those that are, at least one."""

    def jobs_lost(self, worker: WorkerSpec, jobs: Sequence[Job], failure: WorkerFailure) -> None:
        """A worker is gone that had these jobs; some are tried again, the others are told after this."""

    def call_timed(self, jobs: Sequence[Job], marks: CallMarks) -> None:
        """A worker tells what it did when for these jobs, before it answers (``FrameKind.TIMES``)."""
