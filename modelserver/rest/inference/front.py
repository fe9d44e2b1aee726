"""The inference API: from a request, read by a connection or by Twisted Web, to the one use case."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, cast

from attrs import field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from modelserver.core.registry import Registry
from modelserver.errors import BadRequest, RouteNotFound, ServingError
from modelserver.http1.head import LONGEST_LINE, RequestHead
from modelserver.http1.states import ReplyObserver
from modelserver.inference.health import Health, health_of
from modelserver.inference.predict import Inference
from modelserver.inference.targets import model_of_invocation
from modelserver.inference.workflows import AnyInference, WorkflowInference
from modelserver.interfaces import AccessRecorder, Dialect, Recorder, Reply
from modelserver.jobs import Inputs, Job, ResponseObserver, SharedSlot, inputs_of
from modelserver.language.attributes import define, frozen
from modelserver.protocol.frames import ID_SIZE
from modelserver.protocol.shared_memory import SharedMemoryPool
from modelserver.rest.inference.forms import field_of
from modelserver.rest.inference.routes import INFERENCE_ROUTES
from modelserver.rest.inference.targets import PredictionGrammar, PredictionTarget
from modelserver.rest.inference.twisted_web import TwistedWebResponder, body_of
from modelserver.rest.route import Asked
from modelserver.security.authorization import AllowAll, Authorizer
from modelserver.system.bounded_cache import Memo
from modelserver.workflows.errors import WorkflowNotFound

if TYPE_CHECKING:
    from twisted.web.server import Request

    from modelserver.http1.twisted_web import BufferedRequest

PING = "ping"
"""The operation of a route for the server's state."""
MOST_TARGETS = 1024
"""Request targets whose meaning is remembered."""
MODEL = Asked.MODEL
"""Here because a look into an Enum costs as much as a call."""
_METHODS = frozenset((b"GET", b"POST", b"PUT"))


Operation = Callable[[RequestHead, bytes | SharedSlot, ReplyObserver], Job | None]
"""The operation of a plain request for anything else: does what ``InferenceEndpoint.predict`` does."""


class PlainPrediction(NamedTuple):
    """
    The operation of a plain request for a model.

    :param target: what its URL says.
    :param client_timeout: seconds that the client waits; 0: as long as it takes.
    """

    target: PredictionTarget
    client_timeout: float


@frozen(eq=False)
class InferenceSettings:
    """
    What an operator decides about the inference listener.

    :param max_request_size: bytes of a body.
    :param serves_plain: whether connections may serve predictions themselves; not at a management listener.
    :param cors: header lines for every answer, each ended by CRLF.
    """

    max_request_size: int = 6553500
    cors: bytes = b""
    serves_plain: bool = True


@define(eq=False)
class InferenceEndpoint:
    """Both ways in end here; it is the ``RequestHandler`` of its listener's connections."""

    inference: Inference
    registry: Registry
    dialect: Dialect
    recorder: Recorder
    access_log: AccessRecorder
    gate: Authorizer
    clock: IReactorTime
    entropy: Callable[[int], bytes]
    settings: InferenceSettings = InferenceSettings()
    slots: SharedMemoryPool | None = None
    workflows: WorkflowInference | None = None
    max_request_size: int = field(init=False)
    cors: bytes = field(init=False)
    either: AnyInference = field(init=False)
    _pinged: tuple[Health, Reply] | None = field(default=None, init=False)
    _grammar: PredictionGrammar = field(init=False)
    _ping_key: str | None = field(init=False)
    _has_gate: bool = field(init=False)
    _targets: Memo[bytes, PredictionTarget | None] = field(init=False)

    def __attrs_post_init__(self) -> None:
        routes = [route for route in INFERENCE_ROUTES if self.dialect.name in route.dialects]
        self._grammar = PredictionGrammar(routes)
        self._targets = Memo(self._grammar.resolve, MOST_TARGETS, LONGEST_LINE)
        self._ping_key = next(route.key_kind for route in routes if route.operation == PING)
        self.max_request_size = self.settings.max_request_size
        self.cors = self.settings.cors
        self._has_gate = not isinstance(self.gate, AllowAll)
        self.either = AnyInference(self.inference, self.workflows)

    # What connections ask.

    def classify(self, head: RequestHead) -> PlainPrediction | Operation | None:
        """Return what a plain request asks for; None when the Klein routes are to answer it."""
        if not self.settings.serves_plain or head.method not in _METHODS:
            return None
        if head.target == b"/ping":
            return self._answer_ping
        prediction = self._targets[head.target]
        if prediction is None:
            return None
        if prediction.name is None and b"form" in head.fields.get(b"content-type", b"").lower():
            return None  # a field of it may tell the model
        try:
            client_timeout = client_timeout_of(head.fields.get(b"x-request-timeout-ms"))
        except BadRequest:
            return None
        return PlainPrediction(prediction, client_timeout)

    def is_prediction(self, head: RequestHead) -> bool:
        """Return whether the request asks a model, rather than for the server's state or a change of it."""
        return self._grammar.resolve(head.target) is not None

    def template_of(self, target: bytes) -> str:
        """Return the path of the table that a prediction's request target is of; empty: it is none."""
        return self._grammar.template_of(target)

    def predict(self, head: RequestHead, body: bytes | SharedSlot, observer: ReplyObserver) -> Job | None:
        """
        Begin a plain request; return None when it has been answered already.

        :raises ServingError: it is refused.
        """
        operation = head.operation
        if type(operation) is not PlainPrediction:
            return cast(Operation, operation)(head, body, observer)
        (name, version, extra, flags, key_kind, asked), client_timeout = operation
        if key_kind is not None and self._has_gate:
            self.gate.check(key_kind, head.fields.get(b"authorization"))
        if not name:
            given = name
            name = model_of_invocation(self.registry, self.inference.start_up, lambda: given)
        inputs = inputs_of((head.block, extra, body, flags))
        if asked is MODEL:
            return self.inference.predict(name, version, inputs, observer, client_timeout)
        return self._ask(asked, name, version, inputs, observer, client_timeout)

    def _ask(
        self,
        asked: Asked,
        name: str,
        version: str | None,
        inputs: Inputs,
        observer: ResponseObserver,
        client_timeout: float,
    ) -> Job:
        """Ask what the route says: a model, a workflow, or either."""
        workflows = self.workflows
        if asked is Asked.WORKFLOW:
            if workflows is None:
                raise WorkflowNotFound(name)
            version = workflows.version_named(name, version)
            return workflows.predict(name, version, inputs, observer, client_timeout)
        inference = self.either if asked is Asked.EITHER else self.inference
        return inference.predict(name, version, inputs, observer, client_timeout)

    def _answer_ping(self, head: RequestHead, body: bytes | SharedSlot, observer: ReplyObserver) -> None:
        if self._ping_key is not None:
            self.gate.check(self._ping_key, head.fields.get(b"authorization"))
        observer.reply(self.ping())

    def withdraw(self, job: Job) -> None:
        """Cancel a job whose client has left."""
        job.withdraw()

    def refused(self, error: ServingError) -> Reply:
        """Return an error in the dialect's words."""
        return self.dialect.failed(error)

    def now(self) -> float:
        """Return the clock's seconds (monotonic)."""
        return self.clock.seconds()

    def new_id(self) -> bytes:
        """Return a random request id."""
        return self.entropy(ID_SIZE)

    def finished(
        self,
        remote: str,
        head: RequestHead,
        code: int,
        arrived: float | None,
        request_id: bytes,
        trace_id: str = "",
    ) -> None:
        """Count an answer and note it in the access log; ``trace_id``: of its trace, if it is traced."""
        self.recorder.answered(code)
        spent = 0.0 if arrived is None else (self.clock.seconds() - arrived) * 1000
        self.access_log.record(remote, head.shown, code, spent, request_id, trace_id)

    # Both ways.

    def ping(self) -> Reply:
        """
        Return the state of the whole server.

        The peers listen when the models of their start are registered: who waits for a ping may ask then.
        """
        if self.inference.start_up.coming():
            return self.dialect.pinged(wanted=1, running=0, healthy=False)._replace(code=503)
        health = health_of(self.registry)
        if self._pinged is None or self._pinged[0] != health:
            reply = self.dialect.pinged(health.wanted, health.running, health.is_healthy)
            self._pinged = health, reply
        return self._pinged[1]

    # Twisted Web's way.

    def predict_request(self, request: Request) -> Deferred[bytes]:
        """Answer a prediction that Twisted Web has read."""
        name, version, extra, flags, _, asked = self.prediction_of(request)
        client_timeout = client_timeout_of(
            request.requestHeaders.getRawHeaders(b"x-request-timeout-ms", [None])[0]
        )
        inputs = Inputs(cast("BufferedRequest", request).header_block, extra, body_of(request), flags)
        observer = TwistedWebResponder(request, self.dialect, self.cors)
        assert name is not None  # prediction_of saw to it
        job = self._ask(asked, name, version, inputs, observer, client_timeout)
        observer.when_cancelled(job.withdraw)
        return observer.answer

    def prediction_of(self, request: Request) -> PredictionTarget:
        """
        Return what a request on a prediction route asks for, with the model's name.

        :raises RouteNotFound: it asks for no prediction.
        :raises ParameterMissing: nothing tells which model is meant.
        """
        prediction = self._grammar.resolve(request.uri)
        if prediction is None:
            raise RouteNotFound(request.path.decode("latin-1"))
        if prediction.name:
            return prediction
        content_type = request.requestHeaders.getRawHeaders(b"content-type", [b""])[0]

        def given() -> str | None:
            if prediction.name is not None:
                return prediction.name
            return field_of(body_of(request), content_type, "model_name")

        return prediction._replace(name=model_of_invocation(self.registry, self.inference.start_up, given))


def client_timeout_of(value: bytes | None) -> float:
    """
    Return the seconds of an ``X-Request-Timeout-Ms`` header; 0 without one.

    :raises BadRequest: it is no positive number.
    """
    if value is None:
        return 0.0
    if not value.isdigit() or len(value) > 12 or not int(value):
        raise BadRequest("X-Request-Timeout-Ms must be a number of milliseconds above 0.")
    return int(value) / 1000
