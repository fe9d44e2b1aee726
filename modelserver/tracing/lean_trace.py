"""
The trace of a request as most are, and no more of it than that: a few values, of which spans are made later.

Where one request of a hundred is traced, all that is done for it is done by code and with objects that the
processor's caches have lost since the one before: that takes four times as long as where every request is
traced. So little is done while the request is served, and the rest for many requests at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, Protocol, TypeVar

from modelserver.errors import ServingError
from modelserver.jobs import Answer, CallMarks, Inputs, Job, ResponseObserver, TimedAnswer, inputs_of
from modelserver.language.attributes import define
from modelserver.protocol.call_times import read_marks
from modelserver.protocol.frames import TRACED
from modelserver.protocol.trace_line import trace_line
from modelserver.spec import WorkerSpec
from modelserver.traces import (
    NOTHING_TOLD,
    AnsweredCalls,
    AnswerTold,
    Attributes,
    Told,
    Trace,
    TracingObserver,
)
from modelserver.tracing.batch_spans import add_lone_call, batch_attributes
from modelserver.tracing.job_trace import JobTrace
from modelserver.tracing.plain_request import UNNAMED, LoneCall, PlainRequest, lone_call, plain_request
from modelserver.tracing.propagation import SpanContext, context_of
from modelserver.tracing.request_trace import OpenSpan
from modelserver.tracing.worker_times import read_times, times_between

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Facts = TypeVar("Facts")


MOST_ENDED = 64
"""Requests whose spans are made at once."""


class LeanServices(Protocol):
    """
    What lean traces ask of their tracer.

    :param current: see ``traces.Tracer``; so are ``under_way`` and ``answering``.
    :param ended: requests whose spans are to be made.
    :param is_settling: whether that will be done soon, however few they are.
    """

    current: Trace | None
    under_way: int
    answering: AnsweredCalls | None
    ended: list[LeanTrace]
    is_settling: bool

    def seconds(self) -> float:
        """Return the clock's seconds (monotonic)."""

    def open_request(self, context: SpanContext, parent: SpanContext | None, started: float) -> OpenSpan:
        """Return an open span for a request that is under way already."""

    def bits(self, count: int, /) -> int:
        """Return a number of so many random bits."""

    def settle_soon(self) -> None:
        """Have the spans made of all requests that have ended, after a moment."""

    def settle(self) -> None:
        """Have them made now."""

    def has_answer(self, job: Job, answer: Answer | ServingError) -> None:
        """Add the spans of a job's call, if that has just come back and is not told yet."""


@define(eq=False)
class LeanTrace(TracingObserver):
    """
    A ``Trace`` of a request, and the observer of its job, while there is nothing unusual about either.

    What is unusual unfolds it: an ``OpenSpan`` and a ``JobTrace`` go on with what was kept until then. Times
    are the clock's (monotonic) seconds. It is one object, and made before there is a request: each that is
    made, and each function that is called, is to be fetched from far by who needs it seldom.

    :param trace_id: 32 hexadecimal digits.
    :param line: what its worker gets behind the client's headers.
    :param ids: of the trace, of the request's span, and of that of the handler's call.
    :param asked: what ``tell`` makes the span's name and attributes of, later.
    :param parent: the client's span; None: it begins its trace.
    :param times: what its worker has told of the call with its answer, as it came.
    :param marks: what it has told otherwise.
    :param answered: when the worker's answer came; 0: not yet, or not kept here.
    :param is_lean: nothing has unfolded it.
    :param observer: who waits for the answer; None: there is no job yet.
    """

    services: LeanServices
    trace_id: str
    line: bytes
    ids: tuple[int, int, int]
    tell: Callable[[Any], Told] = lambda asked: NOTHING_TOLD
    asked: object = None
    started: float = 0.0
    is_lean: bool = True
    observer: ResponseObserver | None = None
    answered: float = 0.0
    times: bytes = b""
    worker: WorkerSpec | None = None
    assigned: float = 0.0
    over: float = 0.0
    tell_answer: Callable[[Any], AnswerTold] | None = None
    facts: object = None
    parent: SpanContext | None = None
    marks: CallMarks | None = None
    _span: OpenSpan | None = None
    _job: JobTrace | None = None

    def run(
        self, function: Callable[Arguments, Result], /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        """Call a function, while which this is the tracer's ``current``."""
        services = self.services
        before = services.current
        services.current = self
        try:
            return function(*args, **kwargs)
        finally:
            services.current = before

    def follow(self, inputs: Inputs, observer: ResponseObserver) -> tuple[Inputs, ResponseObserver]:
        """Return what to queue a job with; its handler finds itself as the parent of what it calls."""
        if self.observer is not None or not self.is_lean:
            return self.unfold().follow(inputs, observer)
        self.observer = observer
        header_block, extra, body, flags = inputs
        return inputs_of((header_block + self.line, extra, body, flags | TRACED)), self

    def completed(self, job: Job, answer: Answer) -> None:
        """Note an answer, and pass it on."""
        services, observer = self.services, self.observer
        assert observer is not None, "a job follows it"
        if not self.answered:
            answering = services.answering
            if type(answer) is TimedAnswer and self.is_lean and answering is not None:
                self.times, self.assigned = answer.marks, job.assigned
                self.worker, _, _, self.answered, _ = answering
            else:
                services.has_answer(job, answer)
        before = services.current
        services.current = self
        try:
            observer.completed(job, answer)
        finally:
            services.current = before

    def keeps(self, job: Job, now: float, worker: WorkerSpec) -> bool:
        """Note that its job's answer came, which was a batch by itself; False: there is more to tell."""
        marks = self.marks
        if not self.is_lean or marks is None or marks.more:
            return False
        self.worker, self.assigned, self.answered = worker, job.assigned, now
        return True

    def closed(self, tell: Callable[[Facts], AnswerTold], facts: Facts, error: str | None = None) -> None:
        """End: the answer is written, of which ``tell`` tells."""
        services = self.services
        if error is not None or not self.answered:
            self.unfold().closed(tell, facts, error)
            return
        self.over, self.tell_answer, self.facts = services.seconds(), tell, facts
        services.under_way -= 1
        ended = services.ended
        ended.append(self)
        if len(ended) >= MOST_ENDED:
            services.settle()
        elif not services.is_settling:
            services.settle_soon()

    # Later, or seldom.

    @property
    def context(self) -> SpanContext:
        """What names the request's span."""
        parent = self.parent
        return context_of((self.ids[0], self.ids[1], "" if parent is None else parent.state))

    @property
    def _handler(self) -> SpanContext:
        """What names the handler's call."""
        trace_id, _, state = self.context
        return context_of((trace_id, self.ids[2], state))

    def _call(self, handler: SpanContext) -> LoneCall:
        marks = self.marks if self.marks is not None else read_marks(self.times)
        assert self.worker is not None, "an answer came"
        assigned, answered = self.assigned, self.answered
        begun, called, returned = times_between(marks, assigned, answered)
        attributes = batch_attributes(self.worker, 1)
        return lone_call((self.started, assigned, begun, called, returned, answered, attributes, handler))

    def request(self, epoch: float) -> PlainRequest:
        """
        Return all that there is to tell of a request that is over.

        :param epoch: seconds since the epoch at which the clock was at 0.
        """
        assert self.tell_answer is not None, "it is over"
        name, asked = self.tell(self.asked)
        answer, others = self.tell_answer(self.facts)
        (trace_id, span_id, handler_id), parent = self.ids, self.parent
        state = "" if parent is None else parent.state
        context, handler = context_of((trace_id, span_id, state)), context_of((trace_id, handler_id, state))
        told, call = (asked, answer, others), self._call(handler)
        ids = self.services.bits(64 * UNNAMED)
        return plain_request((name, context, parent, epoch, self.started, self.over, told, call, ids))

    def unfold(self) -> OpenSpan:
        """Return the span that goes on in the stead of this."""
        span = self._span
        if span is None:
            span = self._span = self.services.open_request(self.context, self.parent, self.started)
            self.is_lean = False
            name, told = self.tell(self.asked)
            span.named(name)
            span.note(told)
            if self.observer is not None:
                self._job = job = JobTrace(span, self._handler, self.started)
                if self.answered:
                    add_lone_call(span, self._call(self._handler))
                    job.answered(self.answered)
                    self.answered = 0.0
                elif self.marks is not None:
                    job.times = read_times(self.marks, (self.started, self.services.seconds()))
        return span

    @property
    def job_trace(self) -> JobTrace:
        """The notes of its job that go on in the stead of this."""
        self.unfold()
        assert self._job is not None, "a job follows it"
        return self._job

    # As a trace.

    def named(self, name: str) -> None:
        """Set the name."""
        self.unfold().named(name)

    def note(self, attributes: Attributes) -> None:
        """Add attributes."""
        self.unfold().note(attributes)

    def happened(self, name: str, attributes: Attributes | None = None) -> None:
        """Note that something has happened now."""
        self.unfold().happened(name, attributes)

    def watch(self, observer: ResponseObserver) -> ResponseObserver:
        """Return an observer that tells the given one on behalf of this request."""
        return self.unfold().watch(observer)

    def took(self, name: str) -> None:
        """Add a part that began with this, and is over now."""
        self.unfold().took(name)

    def part(self, name: str) -> Trace:
        """Begin a part."""
        return self.unfold().part(name)

    def end(self, error: str | None = None) -> None:
        """End."""
        self.unfold().end(error)

    # As the observer of its job.

    def next_parts(self, job: Job, parts: Sequence[Answer]) -> bool:
        """Note the first part of a streamed answer, and pass parts on."""
        assert self.observer is not None, "a job follows it"
        self.job_trace.part_came(job)
        return self.run(self.observer.next_parts, job, parts)

    def failed(self, job: Job, error: ServingError) -> None:
        """End what the job was doing, and pass on why there is no answer."""
        assert self.observer is not None, "a job follows it"
        self.services.has_answer(job, error)
        self.job_trace.failed(job, str(error))
        self.run(self.observer.failed, job, error)

    def withdrawn(self, job: Job, reason: str) -> None:
        """End what the job was doing, and the trace: the client has left."""
        self.job_trace.left(job, reason)
        self.end(reason)


def lean_trace(services: LeanServices, trace_id: int) -> LeanTrace:
    """Return one of a request to come."""
    span, handler = services.bits(64) or 1, services.bits(64) or 1
    shown, line = trace_id.to_bytes(16, "big").hex(), trace_line(trace_id, handler)
    return LeanTrace(services, shown, line, (trace_id, span, handler))
