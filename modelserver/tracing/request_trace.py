"""Spans that are not over: plain numbers, collected in the event loop until the whole request has ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import ParamSpec, Protocol, TypeVar

from attrs import field

from modelserver.jobs import Inputs, ResponseObserver, inputs_of
from modelserver.language.attributes import define
from modelserver.protocol.frames import TRACED
from modelserver.protocol.trace_line import trace_line
from modelserver.traces import (
    AnswerTold,
    Attributes,
    AttributeValue,
    FixedAttributes,
    Trace,
    TracedObserver,
)
from modelserver.tracing.batch_spans import add_lone_call
from modelserver.tracing.job_trace import JobTrace
from modelserver.tracing.plain_request import UNNAMED, LoneCall, PlainRequest, plain_request
from modelserver.tracing.propagation import SpanContext, context_of
from modelserver.tracing.spans import (
    INTERNAL,
    NO_ATTRIBUTES,
    NOTHING_FIXED,
    SERVER,
    FinishedSpan,
    Moment,
    joined,
)

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Facts = TypeVar("Facts")

MOST_SPANS = 512
"""Spans of one request that are kept; a stream of many jobs has more."""
AT_ONCE = 0.001
"""Seconds from a request's begin to its job up to which it was here at once."""
ON_THE_WAY = 0.01
"""Seconds from an answer to the next job of a request up to which this server has brought it on its way."""
MOST_MOMENTS = 128
"""Moments of one span that are kept."""

# A named tuple's own constructor is a function of Python's; a traced request has a dozen of these.
_finished: Callable[[tuple[object, ...]], FinishedSpan] = partial(tuple.__new__, FinishedSpan)


class SpanServices(Protocol):
    """
    What open spans ask of their tracer.

    :param current: see ``traces.Tracer``; so are ``under_way`` and ``unfolded``.
    :param deliver_plain: has a plain request sent; None: as the spans that it has.
    """

    current: Trace | None
    under_way: int
    unfolded: int
    deliver_plain: Callable[[PlainRequest], object] | None

    def seconds(self) -> float:
        """Return the clock's seconds (monotonic)."""

    def since_epoch(self) -> float:
        """Return the seconds since the epoch at which the clock was at 0, as far as that can be told now."""

    def new_span_id(self) -> int:
        """Return a new id."""

    def bits(self, count: int, /) -> int:
        """Return a number of so many random bits."""

    def deliver(self, spans: Sequence[FinishedSpan]) -> object:
        """Have spans sent."""


@define(eq=False)
class Recording:
    """
    The spans of one request that are over, until all are.

    :param dropped: how many were too many.
    """

    services: SpanServices
    spans: list[FinishedSpan] = field(factory=list, init=False)
    open: dict[OpenSpan, None] = field(factory=dict, init=False)
    is_over: bool = field(default=False, init=False)
    dropped: int = field(default=0, init=False)
    _epoch: float | None = field(default=None, init=False)

    @property
    def epoch(self) -> float:
        """The seconds since the epoch at which the clock was at 0; all spans agree on it."""
        epoch = self._epoch
        if epoch is None:
            epoch = self._epoch = self.services.since_epoch()
        return epoch

    def nanoseconds(self, seconds: float) -> int:
        """Return the clock's seconds as nanoseconds since the epoch."""
        return int((self.epoch + seconds) * 1e9)

    def add(self, span: FinishedSpan) -> None:
        """Keep a span that is over."""
        if self.is_over or len(self.spans) >= MOST_SPANS:
            self.dropped += 1
        else:
            self.spans.append(span)

    def over(self) -> None:
        """Take no more spans: the trace has ended here."""
        self.is_over = True
        self.services.under_way -= 1
        self.services.unfolded -= 1

    def end(self, last: FinishedSpan) -> None:
        """Have all spans sent, with the one that all others are parts of."""
        for span in list(self.open):
            span.end("It was not waited for.")
        self.spans.append(last)
        self.over()
        spans, self.spans = self.spans, []
        self.services.deliver(spans)


@define(eq=False)
class OpenSpan:
    """
    A span that is not over; see ``traces.Trace``.

    :param started: in the clock's (monotonic) seconds.
    :param links: spans of other traces that it has to do with.
    :param answered: when a worker's answer came, in the clock's seconds; None: none has.
    """

    recording: Recording
    name: str
    context: SpanContext
    parent: SpanContext | None
    started: float
    kind: str = INTERNAL
    is_parent_remote: bool = False
    is_root: bool = True
    attributes: dict[str, AttributeValue] = field(factory=dict)
    links: Sequence[SpanContext] = ()
    answered: float | None = field(default=None, init=False)
    _moments: list[Moment] = field(factory=list, init=False)
    _fixed: FixedAttributes = field(default=NOTHING_FIXED, init=False)
    _answer: FixedAttributes = field(default=NOTHING_FIXED, init=False)
    """Of the answer, which came after those."""
    _call: LoneCall | None = field(default=None, init=False)
    """What no spans were made of yet, since there may be no need to."""
    _shown: str = field(default="", init=False)
    _is_over: bool = field(default=False, init=False)

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        shown = self._shown
        if not shown:
            shown = self._shown = self.context.shown
        return shown

    def run(
        self, function: Callable[Arguments, Result], /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        """Call a function, while which this is the tracer's ``current``."""
        services = self.recording.services
        before = services.current
        services.current = self
        try:
            return function(*args, **kwargs)
        finally:
            services.current = before

    def named(self, name: str) -> None:
        """Set the name."""
        self.name = name

    def note(self, attributes: Attributes) -> None:
        """Add attributes."""
        if type(attributes) is FixedAttributes and not self.attributes and not self._answer:
            if self._fixed:
                self._answer = attributes
            else:
                self._fixed = attributes
        else:
            self.attributes.update(attributes)

    def happened(self, name: str, attributes: Attributes | None = None) -> None:
        """Note that something has happened now."""
        if len(self._moments) < MOST_MOMENTS:
            at = self.recording.nanoseconds(self.recording.services.seconds())
            self._moments.append(Moment(name, at, attributes or NO_ATTRIBUTES))

    def now(self) -> float:
        """Return the clock's seconds."""
        return self.recording.services.seconds()

    def new_context(self) -> SpanContext:
        """Return what names a new span of the same trace."""
        trace_id, _, state = self.context
        return context_of((trace_id, self.recording.services.new_span_id(), state))

    def watch(self, observer: ResponseObserver) -> ResponseObserver:
        """Return an observer that tells the given one on behalf of this request."""
        return TracedObserver(observer, self)

    def follow(self, inputs: Inputs, observer: ResponseObserver) -> tuple[Inputs, ResponseObserver]:
        """Return what to queue a job with; its handler finds itself as the parent of what it calls."""
        handler = self.new_context()
        header_block, extra, body, flags = inputs
        traced = inputs_of(
            (header_block + trace_line(handler.trace_id, handler.span_id), extra, body, flags | TRACED)
        )
        return traced, TracedObserver(observer, self, JobTrace(self, handler, self._received()))

    def _received(self) -> float:
        """Return when a job begins to wait; add what came before the first one, if it took its time."""
        now = self.now()
        if self.answered is not None and now - self.answered < ON_THE_WAY:
            return self.answered
        if self.recording.spans or self._call is not None:
            return now
        if now - self.started < AT_ONCE:
            return self.started
        self.add("receive", (self.started, now))
        return now

    def keep(self, call: LoneCall) -> bool:
        """Keep the first job of a request until there is more to tell; False: it is to be told at once."""
        if self._call is not None or self.kind != SERVER or self.recording.spans or self.context.state:
            return False
        self._call = call
        return True

    def _tell_call(self) -> None:
        """Add the spans of the call that is kept: there is more to tell than a plain request has."""
        call, self._call = self._call, None
        if call is not None:
            add_lone_call(self, call)

    def took(self, name: str) -> None:
        """Add a part that began with this, and is over now."""
        self.add(name, (self.started, self.now()))

    def part(self, name: str) -> OpenSpan:
        """Begin a part."""
        self._tell_call()
        recording = self.recording
        span = OpenSpan(
            recording=recording,
            name=name,
            context=self.new_context(),
            parent=self.context,
            started=recording.services.seconds(),
            is_root=False,
        )
        recording.open[span] = None
        return span

    def add(
        self,
        name: str,
        times: tuple[float, float],
        attributes: Attributes = NO_ATTRIBUTES,
        *,
        context: SpanContext | None = None,
        parent: SpanContext | None = None,
        links: Sequence[SpanContext] = (),
        error: str | None = None,
    ) -> SpanContext:
        """
        Add a part that is over, and return what names it.

        :param times: its start and end, in the clock's seconds.
        :param context: what names it, if that was known before.
        :param parent: the part that it is in turn a part of; None: this span.
        """
        if self._call is not None:
            self._tell_call()
        recording, epoch = self.recording, self.recording.epoch
        begun, ended = times
        start, end = int((epoch + begun) * 1e9), int((epoch + ended) * 1e9)
        if context is None:
            context = self.new_context()
        if parent is None:
            parent = self.context
        end = max(end, start)
        row = (name, context, parent, start, end, INTERNAL, attributes, (), links, error, False)
        recording.add(_finished(row))
        return context

    def end(self, error: str | None = None) -> None:
        """End."""
        if self._is_over:
            return
        self._is_over = True
        recording = self.recording
        now = recording.services.seconds()
        if self._call is not None and error is None and self._ends_plainly(self._call, now):
            return
        if self.kind == SERVER and self.answered is not None:
            self.add("respond", (self.answered, now))
        if recording.dropped:
            self.attributes["modelserver.spans.dropped"] = recording.dropped
        span = FinishedSpan(
            name=self.name,
            context=self.context,
            parent=self.parent,
            start=recording.nanoseconds(self.started),
            end=recording.nanoseconds(now),
            kind=self.kind,
            attributes=joined(self._fixed, {**self._answer, **self.attributes}),
            moments=self._moments,
            links=self.links,
            error=error,
            is_parent_remote=self.is_parent_remote,
        )
        if self.is_root:
            recording.end(span)
        else:
            recording.open.pop(self, None)
            recording.add(span)

    def closed(self, tell: Callable[[Facts], AnswerTold], facts: Facts, error: str | None = None) -> None:
        """End with an answer, of which ``tell`` tells."""
        for attributes in tell(facts):
            self.note(attributes)
        self.end(error)

    def _ends_plainly(self, call: LoneCall, now: float) -> bool:
        """Have a plain request sent; return whether it is one."""
        recording = self.recording
        services = recording.services
        deliver, fixed, answer, own = services.deliver_plain, self._fixed, self._answer, self.attributes
        if deliver is None or self._moments or self.links or recording.spans or recording.open:
            return False
        names = fixed.keys()
        if not (names.isdisjoint(own) and names.isdisjoint(answer) and answer.keys().isdisjoint(own)):
            return False
        recording.over()
        ids = services.bits(64 * UNNAMED)
        times = recording.epoch, self.started, now
        told = fixed, answer, own
        row = (self.name, self.context, self.parent, *times, told, call, ids)
        deliver(plain_request(row))
        return True
