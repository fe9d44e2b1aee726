"""The tracer: begins spans, and makes those of batches and workers of what the core tells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from attrs import field

from modelserver.errors import ServingError
from modelserver.jobs import Answer, CallMarks, Job, TimedAnswer
from modelserver.language.attributes import define
from modelserver.protocol.call_times import read_marks
from modelserver.spec import WorkerFailure, WorkerSpec
from modelserver.traces import AnsweredCalls, Attributes, Told, Trace, TracedObserver
from modelserver.tracing.batch_spans import spans_of_batch, spans_of_one, worker_attributes
from modelserver.tracing.job_trace import JobTrace
from modelserver.tracing.lean_trace import LeanTrace, lean_trace
from modelserver.tracing.plain_request import PlainRequest
from modelserver.tracing.propagation import SpanContext, read_parent
from modelserver.tracing.request_trace import OpenSpan, Recording
from modelserver.tracing.sampling import Sampler
from modelserver.tracing.spans import INTERNAL, SERVER, FinishedSpan
from modelserver.tracing.worker_times import read_times

Asked = TypeVar("Asked")

MOST_READY = 64
"""Traces that are made at once, with their ids, for requests to come."""
LONGEST = 0.5
"""Seconds after which the spans of requests that have ended are made, however few there are."""


@define(eq=False)
class SpanTracer:
    """
    See ``traces.Tracer``.

    :param seconds: the clock's (monotonic) seconds.
    :param now: seconds since the epoch.
    :param bits: a number of so many random bits.
    :param deliver: takes the spans of a request that has ended.
    :param deliver_plain: takes a plain request that has ended; None: ``deliver`` gets its spans.
    :param traced: is told of each traced job that was answered: model, version, seconds since it arrived, and
        the id of its trace with the seconds since the epoch.
    :param later: calls something after so many seconds.
    """

    sampler: Sampler
    seconds: Callable[[], float]
    now: Callable[[], float]
    bits: Callable[[int], int]
    deliver: Callable[[Sequence[FinishedSpan]], object]
    deliver_plain: Callable[[PlainRequest], object] | None = None
    traced: Callable[[str, str, float, tuple[str, float]], object] | None = None
    later: Callable[[float, Callable[[], None]], object] = lambda seconds, call: call()
    current: Trace | None = field(default=None, init=False)
    under_way: int = field(default=0, init=False)
    unfolded: int = field(default=0, init=False)
    answering: AnsweredCalls | None = field(default=None, init=False)
    gap: Callable[[], int] = field(init=False)
    _starting: dict[str, OpenSpan] = field(factory=dict, init=False)
    ended: list[LeanTrace] = field(factory=list, init=False)
    is_settling: bool = field(default=False, init=False)
    _ready: list[LeanTrace] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self.gap = self.sampler.gap

    # What open spans ask.

    def since_epoch(self) -> float:
        """Return the seconds since the epoch at which the clock was at 0, as far as that can be told now."""
        return self.now() - self.seconds()

    def new_span_id(self) -> int:
        """Return a new id."""
        return self.bits(64) or 1

    # Requests and operations.

    def begin(
        self,
        traceparent: bytes | None,
        tracestate: bytes | None = None,
        started: float | None = None,
    ) -> OpenSpan | None:
        """Begin the trace of a request, or go on with its client's; None: the request is not traced."""
        trace_id, parent = self._decide(traceparent, tracestate)
        if not trace_id:
            return None
        state = "" if parent is None else parent.state
        return self._open(SERVER, SpanContext(trace_id, self.new_span_id(), state), parent, started)

    def _decide(self, traceparent: bytes | None, tracestate: bytes | None) -> tuple[int, SpanContext | None]:
        """Return the id of a request's trace and its client's span; 0: the request is not traced."""
        parent = read_parent(traceparent, tracestate)
        if parent is None:
            return self.sampler.new_trace_id(), None
        return parent.context.trace_id if self.sampler.takes(parent) else 0, parent.context

    def due(self, tell: Callable[[Asked], Told], asked: Asked) -> LeanTrace | OpenSpan:
        """Begin the trace of a request now: a ``gap`` is over, and its client has no trace."""
        lean = (self._ready or self._make_ready()).pop()
        lean.tell, lean.asked, lean.started = tell, asked, self.seconds()
        self.under_way += 1
        return lean.unfold() if self.deliver_plain is None else lean

    def continued(
        self,
        tell: Callable[[Asked], Told],
        asked: Asked,
        traceparent: bytes | None,
        tracestate: bytes | None = None,
    ) -> LeanTrace | OpenSpan | None:
        """Go on now with the trace of a request's client; None: the request is not traced."""
        trace_id, parent = self._decide(traceparent, tracestate)
        if not trace_id:
            return None
        lean = lean_trace(self, trace_id)
        lean.tell, lean.asked, lean.started, lean.parent = tell, asked, self.seconds(), parent
        self.under_way += 1
        has_state = parent is not None and parent.state
        return lean.unfold() if has_state or self.deliver_plain is None else lean

    def _make_ready(self) -> list[LeanTrace]:
        due = self.sampler.due_trace_id
        self._ready += [lean_trace(self, due()) for _ in range(MOST_READY)]
        return self._ready

    def operation(self, name: str, attributes: Attributes) -> OpenSpan:
        """Begin something that the server does, as a part of ``current`` if there is one."""
        current = self.current
        if isinstance(current, LeanTrace):
            current = current.unfold()
        if isinstance(current, OpenSpan):
            span = self._open(INTERNAL, current.new_context(), current.context, None)
            span.is_parent_remote = False
        else:
            span = self._open(INTERNAL, self._new_root(), None, None)
        span.named(name)
        span.note(attributes)
        return span

    def _new_root(self) -> SpanContext:
        return SpanContext(self.bits(128) or 1, self.new_span_id())

    def _open(
        self, kind: str, context: SpanContext, parent: SpanContext | None, started: float | None
    ) -> OpenSpan:
        self.under_way += 1
        self.unfolded += 1
        if started is None:
            started = self.seconds()
        # Keywords would cost a class's call a dict.
        return OpenSpan(Recording(self), "", context, parent, started, kind, parent is not None)

    # What lean traces ask.

    def open_request(self, context: SpanContext, parent: SpanContext | None, started: float) -> OpenSpan:
        """Return an open span for a request that is under way already."""
        self.unfolded += 1
        return OpenSpan(Recording(self), "", context, parent, started, SERVER, parent is not None)

    def settle_soon(self) -> None:
        """Have the spans made of all requests that have ended, after a moment."""
        self.is_settling = True
        self.later(LONGEST, self._settle_in_time)

    def has_answer(self, job: Job, answer: Answer | ServingError) -> None:
        """Add the spans of a job's call, if that has just come back and is not told yet."""
        answering = self.answering
        if answering is not None and job in answering[1]:
            self.calls_answered(answering, ((job, answer),))

    def _settle_in_time(self) -> None:
        self.is_settling = False
        self.settle()

    def settle(self) -> None:
        """Have the spans made of all requests that have ended."""
        ended, self.ended = self.ended, []
        epoch, deliver, note = self.since_epoch(), self.deliver_plain, self.traced
        for lean in ended:
            if deliver is not None:
                deliver(lean.request(epoch))
            if note is not None and lean.worker is not None:
                version, spent = lean.worker.version, lean.answered - lean.started
                note(version.name, version.version, spent, (lean.trace_id, epoch + lean.answered))

    # Workers.

    def worker_launched(self, worker: WorkerSpec) -> None:
        """Begin the span of a worker's start."""
        self._starting[worker.id] = self.operation("worker start", worker_attributes(worker))

    def worker_loaded(self, worker: WorkerSpec) -> None:
        """End it: the worker has loaded the model."""
        span = self._starting.pop(worker.id, None)
        if span is not None:
            span.end()

    def worker_exited(self, worker: WorkerSpec, failure: WorkerFailure, is_wanted: bool) -> None:
        """Note an end that nobody has asked for, in the span of the worker's start or in one of its own."""
        span = self._starting.pop(worker.id, None)
        if is_wanted:
            if span is not None:
                span.end("The worker was told to end before it was ready.")
            return
        if span is None:
            span = self.operation("worker lost", worker_attributes(worker))
        span.note(_failure_attributes(failure))
        span.end(str(failure))

    # Batches.

    def calls_answered(
        self, answered: AnsweredCalls, traced: Sequence[tuple[Job, Answer | ServingError]]
    ) -> None:
        """Add the spans of batches that came back; their requests are answered after this."""
        worker, jobs, calls, now, handler = answered
        members: list[tuple[int, Job, JobTrace]] = []
        is_alone = calls > 1 or len(jobs) == 1
        for job, answer in traced:
            if type(answer) is TimedAnswer:
                self.call_timed((job,), read_marks(answer.marks))
            lean = job.observer
            if type(lean) is LeanTrace and is_alone and lean.keeps(job, now, worker):
                continue
            notes = _notes_of(job)
            if notes is None:
                continue
            self._has_answer(worker, now - job.request.arrived, notes.span.trace_id, self.now())
            if is_alone:
                spans_of_one((job, notes), worker, now, handler / calls)
            else:
                members.append((jobs.index(job), job, notes))
        if not members:
            return
        links = [notes.span.context for _, _, notes in members]
        batch = self._open(INTERNAL, self._new_root(), None, members[0][1].assigned)
        batch.named("batch")
        batch.links = links
        spans_of_batch(members, batch, worker, len(jobs), (now, handler))
        batch.end()

    def _has_answer(self, worker: WorkerSpec, spent: float, trace_id: str, at: float) -> None:
        if self.traced is not None:
            self.traced(worker.version.name, worker.version.version, spent, (trace_id, at))

    def jobs_lost(self, worker: WorkerSpec, jobs: Sequence[Job], failure: WorkerFailure) -> None:
        """Note in the requests of these jobs that their worker is gone."""
        now = self.seconds()
        for job in jobs:
            notes = _notes_of(job)
            if notes is not None:
                attributes = {**worker_attributes(worker), **_failure_attributes(failure)}
                notes.lost(job, now, attributes, str(failure))

    def call_timed(self, jobs: Sequence[Job], marks: CallMarks) -> None:
        """Keep what a worker tells of a call until its answers come."""
        for job in jobs:
            lean = job.observer
            if type(lean) is LeanTrace and lean.is_lean:
                lean.marks = marks
                continue
            notes = _notes_of(job)
            if notes is not None:
                notes.times = read_times(marks, (job.assigned, self.seconds()))


def _notes_of(job: Job) -> JobTrace | None:
    """Return the notes of a job, if it is traced and nobody has told its end yet."""
    observer = job.observer
    if type(observer) is LeanTrace:
        notes: object = None if observer.answered else observer.job_trace
    else:
        notes = observer.notes if type(observer) is TracedObserver else None
    return notes if type(notes) is JobTrace and not notes.is_over else None


def _failure_attributes(failure: WorkerFailure) -> Attributes:
    found: dict[str, str | bool | int | float] = {"modelserver.worker.cause": failure.cause}
    if failure.exit_code is not None:
        found["process.exit.code"] = failure.exit_code
    if failure.signal is not None:
        found["modelserver.worker.signal"] = failure.signal
    if failure.exception is not None:
        found["exception.type"] = failure.exception
    if failure.out_of_memory:
        found["modelserver.worker.out_of_memory"] = True
    return found
