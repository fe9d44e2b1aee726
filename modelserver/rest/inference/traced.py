"""The inference endpoint as connections see it where requests are traced."""

from __future__ import annotations

from collections.abc import Callable

from attrs import field

from modelserver.errors import ServingError
from modelserver.http1.head import LONGEST_LINE, RequestHead
from modelserver.http1.states import ReplyObserver
from modelserver.interfaces import Reply
from modelserver.jobs import Job, SharedSlot
from modelserver.language.attributes import define
from modelserver.protocol.frames import show_id
from modelserver.protocol.shared_memory import SharedMemoryPool
from modelserver.rest.inference.front import MOST_TARGETS, InferenceEndpoint, PlainPrediction
from modelserver.rest.tracing import TRACEPARENT, HttpTracing, answered
from modelserver.system.bounded_cache import Memo
from modelserver.traces import Tracer, withdrawn


@define(eq=False)
class TracedEndpoint:
    """
    The ``RequestHandler`` of a listener that traces some requests; the others cost a look at the sampler.

    Twisted Web's requests are begun elsewhere (``rest.binding``), but end here, too.
    """

    endpoint: InferenceEndpoint
    tracing: HttpTracing
    max_request_size: int = field(init=False)
    cors: bytes = field(init=False)
    slots: SharedMemoryPool | None = field(init=False)
    classify: Callable[[RequestHead], object | None] = field(init=False)
    is_prediction: Callable[[RequestHead], bool] = field(init=False)
    refused: Callable[[ServingError], Reply] = field(init=False)
    now: Callable[[], float] = field(init=False)
    new_id: Callable[[], bytes] = field(init=False)
    _tracer: Tracer = field(init=False)
    _pass_over: Callable[[], bool] = field(init=False)
    _templates: Memo[bytes, str] = field(init=False)

    def __attrs_post_init__(self) -> None:
        endpoint = self.endpoint
        self.max_request_size, self.cors, self.slots = (
            endpoint.max_request_size,
            endpoint.cors,
            endpoint.slots,
        )
        self.classify, self.is_prediction = endpoint.classify, endpoint.is_prediction
        self.refused, self.now, self.new_id = endpoint.refused, endpoint.now, endpoint.new_id
        self._tracer = self.tracing.tracer
        self._pass_over = self._tracer.pass_over
        self._templates = Memo(endpoint.template_of, MOST_TARGETS, LONGEST_LINE)

    def predict(self, head: RequestHead, body: bytes | SharedSlot, observer: ReplyObserver) -> Job | None:
        """
        Begin a plain request, and its trace; return None when it has been answered already.

        :raises ServingError: it is refused.
        """
        if type(head.operation) is not PlainPrediction or (
            TRACEPARENT not in head.fields and self._pass_over()
        ):
            return self.endpoint.predict(head, body, observer)
        trace = self.tracing.begin(head, None, self._templates[head.target])
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

    def finished(
        self, remote: str, head: RequestHead, code: int, arrived: float | None, request_id: bytes
    ) -> None:
        """Count an answer, note it in the access log, and end its trace."""
        trace = self._tracer.current
        if trace is None:
            self.endpoint.finished(remote, head, code, arrived, request_id)
            return
        self.endpoint.finished(remote, head, code, arrived, request_id, trace.trace_id)
        answered(trace, remote, code, show_id(request_id).decode())
