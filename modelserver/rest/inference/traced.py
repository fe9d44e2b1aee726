"""The inference endpoint as connections see it where requests are traced."""

from __future__ import annotations

from functools import partial
from typing import cast

from attrs import evolve, field

from modelserver.errors import ServingError
from modelserver.http1.head import LONGEST_LINE, RequestHead
from modelserver.http1.states import ReplyObserver
from modelserver.jobs import Job, SharedSlot, inputs_of
from modelserver.language.attributes import define
from modelserver.rest.inference.front import (
    MODEL,
    MOST_TARGETS,
    InferenceEndpoint,
    Operation,
    PlainPrediction,
)
from modelserver.rest.tracing import FIRST_SERVER_ERROR, TRACEPARENT, TRACESTATE, HttpTracing, tell_answer
from modelserver.system.bounded_cache import Memo
from modelserver.traces import NOTHING_TOLD, Told, Trace, Tracer, withdrawn


@define(eq=False)
class TracedEndpoint(InferenceEndpoint):
    """
    The ``InferenceEndpoint`` of a listener that traces some requests.

    The others cost a count, and nothing else: which one is the next is known before (``Tracer.gap``), and
    that a client has a trace is seen when its head is read. ``predict`` and ``finished`` are written out
    here: a call of those that they stand for would cost each request more than all else that traces do.

    Twisted Web's requests are begun elsewhere (``rest.binding``), but end here, too.
    """

    tracing: HttpTracing = field(kw_only=True)
    _tracer: Tracer = field(init=False)
    _templates: Memo[bytes, str] = field(init=False)
    _told_last: tuple[RequestHead | None, Told] = field(default=(None, NOTHING_TOLD), init=False)
    _left: int = field(init=False)
    """Predictions of clients without a trace that are not traced before the next one that is."""

    def __attrs_post_init__(self) -> None:
        InferenceEndpoint.__attrs_post_init__(self)
        self._tracer = self.tracing.tracer
        self._templates = Memo(self.template_of, MOST_TARGETS, LONGEST_LINE)
        self._left = self._tracer.gap()

    def classify(self, head: RequestHead) -> PlainPrediction | Operation | None:
        """Return what a plain request asks for; None when the Klein routes are to answer it."""
        operation = InferenceEndpoint.classify(self, head)
        if operation is None:
            return None
        if type(operation) is PlainPrediction:
            if TRACEPARENT not in head.fields:
                return operation
            return partial(self._uncounted, partial(self._go_on, evolve(head, operation=operation)))
        return partial(self._uncounted, cast(Operation, operation))

    def predict(self, head: RequestHead, body: bytes | SharedSlot, observer: ReplyObserver) -> Job | None:
        """
        Begin a plain request, and its trace; return None when it has been answered already.

        :raises ServingError: it is refused.
        """
        left = self._left
        if not left:
            return self._predict_due(head, body, observer)
        self._left = left - 1
        # As without traces.
        operation = head.operation
        if type(operation) is not PlainPrediction:
            return cast(Operation, operation)(head, body, observer)
        (name, version, extra, flags, key_kind, asked), client_timeout = operation
        if asked is not MODEL or not name or (key_kind is not None and self._has_gate):
            return InferenceEndpoint.predict(self, head, body, observer)
        inputs = inputs_of((head.block, extra, body, flags))
        return self.inference.predict(name, version, inputs, observer, client_timeout)

    def _predict_due(
        self, head: RequestHead, body: bytes | SharedSlot, observer: ReplyObserver
    ) -> Job | None:
        """Begin the request that is traced, if it is one of those that are counted."""
        operation, tracer = head.operation, self._tracer
        if type(operation) is not PlainPrediction:
            self._left = -1  # until it has said that it is not
            return InferenceEndpoint.predict(self, head, body, observer)
        self._left = tracer.gap()
        trace = tracer.due(self._tell, head)
        (name, version, extra, flags, key_kind, asked), client_timeout = operation
        if asked is not MODEL or not name or (key_kind is not None and self._has_gate):
            return self._predict_in(trace, head, body, observer)
        # As ``_predict_in``, but by code that others have just run.
        inputs, before = inputs_of((head.block, extra, body, flags)), tracer.current
        tracer.current = trace
        try:
            return self.inference.predict(name, version, inputs, observer, client_timeout)
        except Exception as error:
            self._refused(error, trace, observer)
            return None
        finally:
            tracer.current = before

    def _tell(self, head: RequestHead) -> Told:
        before, told = self._told_last
        if head is not before:  # requests with the same bytes share theirs
            told = self.tracing.told(head, self._templates[head.target])
            self._told_last = head, told
        return told

    def _uncounted(
        self, operation: Operation, head: RequestHead, body: bytes | SharedSlot, observer: ReplyObserver
    ) -> Job | None:
        """Serve a request that is none of those of which some are sampled here, but was counted."""
        self._left += 1
        return operation(head, body, observer)

    def _go_on(
        self, plain: RequestHead, head: RequestHead, body: bytes | SharedSlot, observer: ReplyObserver
    ) -> Job | None:
        """
        Begin a prediction whose client has a trace.

        :param plain: the same head, with the operation that the endpoint knows.
        """
        get = plain.fields.get
        trace = self._tracer.continued(self._tell, plain, get(TRACEPARENT), get(TRACESTATE))
        return self._predict_in(trace, plain, body, observer)

    def _predict_in(
        self, trace: Trace | None, head: RequestHead, body: bytes | SharedSlot, observer: ReplyObserver
    ) -> Job | None:
        if trace is None:
            return InferenceEndpoint.predict(self, head, body, observer)
        try:
            return trace.run(InferenceEndpoint.predict, self, head, body, observer)
        except Exception as error:
            self._refused(error, trace, observer)
            return None

    def _refused(self, error: Exception, trace: Trace, observer: ReplyObserver) -> None:
        if not isinstance(error, ServingError):
            trace.end(repr(error))
            raise error
        # Whether it is an error, its status tells: what is the client's fault is none of the server's.
        trace.note({"modelserver.refusal": type(error).__name__})
        trace.run(observer.refuse, error)

    def withdraw(self, job: Job) -> None:
        """Cancel a job whose client has left."""
        job.withdraw()
        withdrawn(job)

    def finished(
        self,
        remote: str,
        head: RequestHead,
        code: int,
        arrived: float | None,
        request_id: bytes,
        trace_id: str = "",
    ) -> None:
        """Count an answer, note it in the access log, and end its trace, if it has one."""
        trace = self._tracer.current
        if trace is not None:
            trace_id = trace.trace_id
        self.recorder.answered(code)  # as without traces
        spent = 0.0 if arrived is None else (self.clock.seconds() - arrived) * 1000
        self.access_log.record(remote, head.shown, code, spent, request_id, trace_id)
        if trace is not None:
            error = "" if code >= FIRST_SERVER_ERROR else None
            trace.closed(tell_answer, (code, remote, request_id), error)
