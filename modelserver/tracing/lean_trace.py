"""
The trace of a request as most are, and no more of it than that: a few values, of which spans are made later.

Where one request of a hundred is traced, all that is done for it is done by code and with objects that the
processor's caches have lost since the one before: that takes four times as long as where every request is
traced. So little is done while the request is served, and the rest for many requests at once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, ParamSpec, Protocol, TypeVar

from modelserver.jobs import CallMarks, Inputs, Job, ResponseObserver, inputs_of
from modelserver.language.attributes import define
from modelserver.protocol.frames import TRACED
from modelserver.protocol.trace_line import trace_line
from modelserver.spec import WorkerSpec
from modelserver.traces import AnswerTold, Attributes, Told, Trace, TracedObserver
from modelserver.tracing.batch_spans import add_lone_call, batch_attributes
from modelserver.tracing.job_trace import JobTrace
from modelserver.tracing.plain_request import UNNAMED, LoneCall, PlainRequest, lone_call, plain_request
from modelserver.tracing.propagation import SpanContext, context_of
from modelserver.tracing.request_trace import OpenSpan
from modelserver.tracing.worker_times import read_times, times_between

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Facts = TypeVar("Facts")


class DrawnIds(NamedTuple):
    """
    Ids of a request that will be traced, drawn with those of others.

    :param shown: the trace's id, as people and tools write it.
    :param line: what its worker gets behind the client's headers.
    """

    trace_id: int
    span_id: int
    handler_id: int
    shown: str
    line: bytes


_drawn_ids: Callable[[tuple[int, int, int, str, bytes]], DrawnIds] = partial(tuple.__new__, DrawnIds)


def drawn_ids(trace_id: int, bits: Callable[[int], int]) -> DrawnIds:
    """Draw the other ids of a request whose trace has this one."""
    span, handler = bits(64) or 1, bits(64) or 1
    shown = trace_id.to_bytes(16, "big").hex()
    return _drawn_ids((trace_id, span, handler, shown, trace_line(trace_id, handler)))


class LeanServices(Protocol):
    """What lean traces ask of their tracer."""

    current: Trace | None
    under_way: int

    def seconds(self) -> float:
        """Return the clock's seconds (monotonic)."""

    def open_request(self, context: SpanContext, parent: SpanContext | None, started: float) -> OpenSpan:
        """Return an open span for a request that is under way already."""

    def bits(self, count: int, /) -> int:
        """Return a number of so many random bits."""

    def ended(self, lean: LeanTrace) -> None:
        """Have the spans of a request made and sent, soon."""


@define(eq=False)
class LeanTrace:
    """
    A ``Trace`` of a request, and the ``JobNotes`` of its job, while there is nothing unusual about either.

    What is unusual unfolds it: an ``OpenSpan`` and a ``JobTrace`` go on with what was kept until then. Times
    are the clock's (monotonic) seconds.

    :param asked: what ``tell`` makes the span's name and attributes of, later.
    :param parent: the client's span; None: it begins its trace.
    :param marks: what its worker has told of the call, as it came.
    :param answered: when the worker's answer came; 0: not yet, or not kept here.
    :param is_lean: nothing has unfolded it.
    """

    services: LeanServices
    ids: DrawnIds
    tell: Callable[[Any], Told]
    asked: object
    started: float
    parent: SpanContext | None = None
    marks: CallMarks | None = None
    worker: WorkerSpec | None = None
    assigned: float = 0.0
    answered: float = 0.0
    over: float = 0.0
    tell_answer: Callable[[Any], AnswerTold] | None = None
    facts: object = None
    is_lean: bool = True
    _follows: bool = False
    _span: OpenSpan | None = None
    _job: JobTrace | None = None

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        return self.ids.shown

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
        if self._follows or not self.is_lean:
            return self.unfold().follow(inputs, observer)
        self._follows = True
        header_block, extra, body, flags = inputs
        traced = inputs_of((header_block + self.ids.line, extra, body, flags | TRACED))
        return traced, TracedObserver(observer, self, self)

    def keeps(self, job: Job, now: float, worker: WorkerSpec) -> bool:
        """Note that its job's answer came, which was a batch by itself; False: there is more to tell."""
        marks = self.marks
        if not self.is_lean or marks is None or marks[3]:
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
        services.ended(self)

    # Later, or seldom.

    @property
    def context(self) -> SpanContext:
        """What names the request's span."""
        parent = self.parent
        return context_of((self.ids.trace_id, self.ids.span_id, "" if parent is None else parent.state))

    @property
    def _handler(self) -> SpanContext:
        """What names the handler's call."""
        trace_id, _, state = self.context
        return context_of((trace_id, self.ids.handler_id, state))

    def _call(self, handler: SpanContext) -> LoneCall:
        assert self.marks is not None and self.worker is not None, "an answer came"
        assigned, answered = self.assigned, self.answered
        begun, called, returned = times_between(self.marks, assigned, answered)
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
        (trace_id, span_id, handler_id, _, _), parent = self.ids, self.parent
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
            if self._follows:
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

    # As the notes of its job.

    def part_came(self, job: Job) -> None:
        """Note the first part of a streamed answer."""
        self.job_trace.part_came(job)

    def failed(self, job: Job, reason: str) -> None:
        """End what it was doing; the rest is the server's."""
        self.job_trace.failed(job, reason)

    def left(self, job: Job, reason: str) -> None:
        """End what it was doing."""
        self.job_trace.left(job, reason)
