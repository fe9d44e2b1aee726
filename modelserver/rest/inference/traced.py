"""The inference endpoint as connections see it where requests are traced."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

from attrs import evolve, field

from modelserver.errors import ServingError
from modelserver.http1.head import LONGEST_LINE, RequestHead
from modelserver.http1.states import ReplyObserver
from modelserver.interfaces import Reply
from modelserver.jobs import Job, SharedSlot
from modelserver.language.attributes import define
from modelserver.protocol.shared_memory import SharedMemoryPool
from modelserver.rest.inference.front import MOST_TARGETS, InferenceEndpoint, Operation, PlainPrediction
from modelserver.rest.tracing import TRACEPARENT, TRACESTATE, HttpTracing, answered
from modelserver.system.bounded_cache import Memo
from modelserver.traces import Told, Trace, Tracer, withdrawn

Finished = Callable[[str, RequestHead, int, float | None, bytes], None]
"""See ``RequestHandler.finished``."""


@define(eq=False)
class TracedEndpoint:
    """
    The ``RequestHandler`` of a listener that traces some requests.

    The others cost a count, and nothing else: which one is the next is known before (``Tracer.gap``), that a
    client has a trace is seen when its head is read, and ``finished`` is the endpoint's own except while a
    traced request is served.

    Twisted Web's requests are begun elsewhere (``rest.binding``), but end here, too.
    """

    endpoint: InferenceEndpoint
    tracing: HttpTracing
    max_request_size: int = field(init=False)
    cors: bytes = field(init=False)
    slots: SharedMemoryPool | None = field(init=False)
    is_prediction: Callable[[RequestHead], bool] = field(init=False)
    refused: Callable[[ServingError], Reply] = field(init=False)
    now: Callable[[], float] = field(init=False)
    new_id: Callable[[], bytes] = field(init=False)
    finished: Finished = field(init=False)
    _finish: Finished = field(init=False)
    _tracer: Tracer = field(init=False)
    _templates: Memo[bytes, str] = field(init=False)
    _left: int = field(init=False)
    """Predictions of clients without a trace that are not traced before the next one that is."""

    def __attrs_post_init__(self) -> None:
        endpoint = self.endpoint
        self.max_request_size, self.cors, self.slots = (
            endpoint.max_request_size,
            endpoint.cors,
            endpoint.slots,
        )
        self.is_prediction = endpoint.is_prediction
        self.refused, self.now, self.new_id = endpoint.refused, endpoint.now, endpoint.new_id
        self._tracer = self.tracing.tracer
        self._finish = endpoint.finished
        if endpoint.settings.serves_plain:
            self.finished = self._finish
            self._tracer.when_switched(self._switch)
        else:  # what is rare here looks, and what is frequent elsewhere is not told to this listener
            self.finished = self._finish_either
        self._templates = Memo(endpoint.template_of, MOST_TARGETS, LONGEST_LINE)
        self._left = self._tracer.gap()

    def classify(self, head: RequestHead) -> PlainPrediction | Operation | None:
        """Return what a plain request asks for; None when the Klein routes are to answer it."""
        operation = self.endpoint.classify(head)
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
        if left := self._left:
            self._left = left - 1
            return self.endpoint.predict(head, body, observer)
        if type(head.operation) is not PlainPrediction:
            self._left = -1
            return self.endpoint.predict(head, body, observer)
        self._left = self._tracer.gap()
        return self._predict_in(self._tracer.due(self._tell, head), head, body, observer)

    def _tell(self, head: RequestHead) -> Told:
        return self.tracing.told(head, self._templates[head.target])

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
            return self.endpoint.predict(head, body, observer)
        try:
            return trace.run(self.endpoint.predict, head, body, observer)
        except ServingError as error:
            if isinstance(body, SharedSlot):
                body.free()
            trace.note({"error.type": type(error).__name__})
            trace.run(observer.refuse, error)
            return None
        except Exception as error:
            trace.end(repr(error))
            raise

    def withdraw(self, job: Job) -> None:
        """Cancel a job whose client has left."""
        self.endpoint.withdraw(job)
        withdrawn(job)

    def _switch(self, is_traced: bool) -> None:
        self.finished = self._finish_either if is_traced else self._finish

    def _finish_either(
        self, remote: str, head: RequestHead, code: int, arrived: float | None, request_id: bytes
    ) -> None:
        """Count an answer, note it in the access log, and end its trace, if it has one."""
        trace = self._tracer.current
        if trace is None:
            self._finish(remote, head, code, arrived, request_id)
            return
        self.endpoint.finished(remote, head, code, arrived, request_id, trace.trace_id)
        answered(trace, remote, code, request_id)
