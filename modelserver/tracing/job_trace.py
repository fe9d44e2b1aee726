"""One job of a traced request: how long it waited, which workers had it, and what they tell of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from attrs import field

from modelserver.jobs import Job
from modelserver.language.attributes import define
from modelserver.traces import Attributes, FixedAttributes
from modelserver.tracing.plain_request import LoneCall, lone_call
from modelserver.tracing.propagation import SpanContext
from modelserver.tracing.spans import NO_ATTRIBUTES
from modelserver.tracing.worker_times import CallTimes

QUEUE, BATCH, DECODE, HANDLER = "queue", "batch", "decode", "handler"


class JobSpan(Protocol):
    """What a job's notes ask of the span that they are parts of."""

    answered: float | None
    context: SpanContext

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""

    def now(self) -> float:
        """Return the clock's seconds (monotonic)."""

    def happened(self, name: str, attributes: Attributes | None = None) -> None:
        """Note that something has happened now."""

    def note(self, attributes: Attributes) -> None:
        """Add attributes."""

    def keep(self, call: LoneCall) -> bool:
        """Keep the first job of a request until there is more to tell; False: it is to be told at once."""

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
        """Add a part that is over; see ``OpenSpan``."""


@define(eq=False)
class JobTrace:
    """
    What happens with one job, as parts of its request's span. Times are the clock's (monotonic) seconds.

    :param handler: what names the part in which the handler has it: the handler knows it already.
    :param times: what its worker has told of the present call, as it came.
    """

    span: JobSpan
    handler: SpanContext
    _since: float
    times: CallTimes | None = field(default=None, init=False)
    _has_parts: bool = field(default=False, init=False)
    is_over: bool = field(default=False, init=False)

    def keep(self, job: Job, now: float, attributes: FixedAttributes) -> bool:
        """Have its request keep what there is to tell, if that is all; return whether it does."""
        times = self.times
        if times is None or times.decode is None or times.failed or times.steps or times.attributes:
            return False
        (begun, called), (_, returned) = times.decode, times.handler
        row = (self._since, job.assigned, begun, called, returned, now, attributes, self.handler)
        return self.span.keep(lone_call(row))

    def part_came(self, job: Job) -> None:
        """Note the first part of a streamed answer."""
        if not self._has_parts:
            self._has_parts = True
            self.span.happened("first part")

    def failed(self, job: Job, reason: str) -> None:
        """End what it was doing; the rest is the server's."""
        if not self.is_over:
            self.left(job, reason)
            self.answered(self.span.now())

    def left(self, job: Job, reason: str) -> None:
        """End what it was doing."""
        if not self.is_over:
            now = self.span.now()
            if self._was_assigned(job):
                self.left_queue(job)
                self.left_worker(job, now, error=reason)
            else:
                self.span.add(QUEUE, (self._since, now), error=reason)
            self.is_over = True

    def _was_assigned(self, job: Job) -> bool:
        """Return whether a worker had it since it began to wait."""
        return getattr(job, "assigned", self._since - 1) >= self._since

    def left_queue(self, job: Job) -> None:
        """Add the part in which it waited."""
        self.span.add(QUEUE, (self._since, job.assigned))

    def left_worker(
        self,
        job: Job,
        now: float,
        attributes: Attributes = NO_ATTRIBUTES,
        links: Sequence[SpanContext] = (),
        error: str | None = None,
    ) -> SpanContext:
        """Add the part in which a worker had it, and return what names that."""
        return self.span.add(BATCH, (job.assigned, now), attributes, links=links, error=error)

    def answered(self, now: float) -> None:
        """Note that its answer came: the rest is the server's."""
        self.is_over = True
        self.span.answered = now

    def lost(self, job: Job, now: float, attributes: Attributes, reason: str) -> None:
        """Note that its worker is gone; it may wait for another one, or fail."""
        if self.is_over:
            return
        self.left_queue(job)
        self.left_worker(job, now, attributes, error=reason)
        self.span.happened("worker lost", attributes)
        self._since, self.times = now, None
