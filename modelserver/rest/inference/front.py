"""The inference API: from a request, read by a channel or by Twisted Web, to the one use case, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

from attrs import define, field, frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.python.failure import Failure
from twisted.web.server import Request
from zope.interface import implementer

from modelserver.core.registry import Registry
from modelserver.errors import BadRequest, RouteNotFound, ServingError
from modelserver.http1.connection import Channel
from modelserver.http1.head import LONGEST_LINE, UNKNOWN, Head
from modelserver.inference.health import Health, health_of
from modelserver.inference.predict import Inference
from modelserver.inference.targets import model_of_invocation
from modelserver.interfaces import Dialect, Recorder, Reply
from modelserver.jobs import Answer, Inputs, Job, SharedSlot, inputs_of
from modelserver.protocol.frames import ID_SIZE, show_id
from modelserver.protocol.shared_memory import SharedMemoryPool
from modelserver.rest.inference.forms import field_of
from modelserver.rest.inference.routes import INFERENCE_ROUTES
from modelserver.rest.inference.targets import PredictionGrammar, PredictionTarget
from modelserver.rest.reply import Headers, prepare
from modelserver.security.authorization import Authorizer
from modelserver.system.bounded_cache import Memo

PREDICT, PING = "predict", "ping"
MOST_TARGETS = 1024
"""Request targets whose meaning is remembered."""
_METHODS = frozenset((b"GET", b"POST", b"PUT"))


class AccessRecorder(Protocol):
    """Where answered requests are noted."""

    def record(
        self, remote: str, asked: tuple[str, str, str], status: int, milliseconds: float, request_id: bytes
    ) -> None:
        """One request that was answered; ``asked``: method, URI and protocol."""


@frozen(eq=False)
class InferenceSettings:
    """
    What an operator decides about the inference listener.

    :param serves_plain: whether channels may serve predictions here; a management listener's may not.
    :param cors: header lines for every answer, each ended by CRLF.
    """

    max_request_size: int = 6553500
    cors: bytes = b""
    serves_plain: bool = True


@define(eq=False)
class InferenceEndpoint:
    """Both ways in end here; it is the ``Front`` of its listener's channels."""

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
    max_request_size: int = field(init=False)
    cors: bytes = field(init=False)
    _pinged: tuple[Health, Reply] | None = field(default=None, init=False)
    _grammar: PredictionGrammar = field(init=False)
    _ping_key: str | None = field(init=False)
    _targets: Memo[bytes, PredictionTarget | None] = field(init=False)

    def __attrs_post_init__(self) -> None:
        routes = [route for route in INFERENCE_ROUTES if self.dialect.name in route.dialects]
        self._grammar = PredictionGrammar(routes)
        self._targets = Memo(self._grammar.resolve, MOST_TARGETS, LONGEST_LINE)
        self._ping_key = next(route.key_kind for route in routes if route.operation == PING)
        self.max_request_size = self.settings.max_request_size
        self.cors = self.settings.cors

    # What channels ask.

    def look(self, head: Head) -> bool:
        """Note what a plain request asks for; False when the Klein routes are to answer it."""
        if not self.settings.serves_plain or head.method not in _METHODS:
            return False
        if head.target == b"/ping":
            head.operation = PING
            return True
        prediction = self._targets[head.target]
        if prediction is None:
            return False
        if prediction.name is None and b"form" in head.fields.get(b"content-type", b"").lower():
            return False  # a field of it may tell the model
        try:
            head.client_timeout = client_timeout_of(head.fields.get(b"x-request-timeout-ms"))
        except BadRequest:
            return False
        head.operation, head.prediction = PREDICT, prediction
        return True

    def is_prediction(self, head: Head) -> bool:
        """Whether it asks a model, rather than for the server's state or a change of it."""
        return self._grammar.resolve(head.target) is not None

    def predict(self, head: Head, body: bytes | SharedSlot, observer: Channel) -> Job | None:
        """
        Begin a plain request.

        :raises ServingError: it is refused.
        """
        if head.prediction is None:
            if self._ping_key is not None:
                self.gate.check(self._ping_key, head.fields.get(b"authorization"))
            observer.reply(self.ping())
            return None
        name, version, extra, flags, key_kind = head.prediction
        if key_kind is not None:
            self.gate.check(key_kind, head.fields.get(b"authorization"))
        if name is None:
            name = self._name_from(b"", b"")
        inputs = inputs_of((head.block, extra, body, flags))
        return self.inference.predict(name, version, inputs, observer, head.client_timeout)

    def withdraw(self, job: Job) -> None:
        """The client left."""
        self.inference.withdraw(job)

    def refused(self, error: ServingError) -> Reply:
        """An error in the dialect's words."""
        return self.dialect.failed(error)

    def now(self) -> float:
        """The clock's seconds."""
        return self.clock.seconds()

    def new_id(self) -> bytes:
        """A random request id."""
        return self.entropy(ID_SIZE)

    def finished(
        self, remote: str, head: Head | None, code: int, arrived: float | None, request_id: bytes
    ) -> None:
        """Count an answer and note it in the access log."""
        self.recorder.answered(code)
        spent = 0.0 if arrived is None else (self.clock.seconds() - arrived) * 1000
        self.access_log.record(remote, UNKNOWN if head is None else head.shown, code, spent, request_id)

    # Both ways.

    def ping(self) -> Reply:
        """The state of the whole server."""
        health = health_of(self.registry)
        if self._pinged is None or self._pinged[0] != health:
            reply = self.dialect.pinged(health.wanted, health.running, health.is_healthy)
            self._pinged = health, reply
        return self._pinged[1]

    # Twisted Web's way.

    def predict_request(self, request: Request) -> Deferred[bytes]:
        """Answer a prediction that Twisted Web has read."""
        name, version, extra, flags, _ = self.prediction_of(request)
        client_timeout = client_timeout_of(
            request.requestHeaders.getRawHeaders(b"x-request-timeout-ms", [None])[0]
        )
        inputs = Inputs(cast(Channel, request.channel).block, extra, _body(request), flags)
        observer = TwistedWebResponder(request, self.dialect, _pairs(self.cors))
        assert name is not None  # prediction_of saw to it
        job = self.inference.predict(name, version, inputs, observer, client_timeout)
        observer.answer.addErrback(_left, lambda: self.inference.withdraw(job))
        return observer.answer

    def prediction_of(self, request: Request) -> PredictionTarget:
        """
        What a request on a prediction route asks for, with the model's name.

        :raises ParameterMissing: nothing tells which model is meant.
        """
        prediction = self._grammar.resolve(request.uri)
        if prediction is None:
            raise RouteNotFound(request.path.decode("latin-1"))
        if prediction.name is not None:
            return prediction
        content_type = request.requestHeaders.getRawHeaders(b"content-type", [b""])[0]
        return prediction._replace(name=self._name_from(_body(request), content_type))

    def _name_from(self, body: bytes, content_type: bytes) -> str:
        return model_of_invocation(self.registry, lambda: field_of(body, content_type, "model_name"))


def client_timeout_of(value: bytes | None) -> float:
    """
    The seconds of an ``X-Request-Timeout-Ms`` header; 0 without one.

    :raises BadRequest: it is no positive number.
    """
    if value is None:
        return 0.0
    if not value.isdigit() or len(value) > 12 or not int(value):
        raise BadRequest("X-Request-Timeout-Ms must be a number of milliseconds above 0.")
    return int(value) / 1000


@implementer(IPushProducer)
@define(eq=False)
class TwistedWebResponder:
    """Waits for a job for a Twisted Web request; ``answer`` fires with what is still to be written."""

    request: Request
    dialect: Dialect
    cors: Headers
    answer: Deferred[bytes] = field(factory=Deferred, init=False)
    _job: Job | None = field(default=None, init=False)
    _is_full: bool = field(default=False, init=False)

    def completed(self, job: Job, answer: Answer) -> None:
        """Write a handler's answer, or the last part of a streamed one."""
        if self._job is not None:
            self.request.unregisterProducer()
            self.answer.callback(bytes(answer.body))
        else:
            self.answer.callback(self._begin(job, answer))

    def next_part(self, job: Job, answer: Answer) -> bool:
        """Write one part of a streamed answer."""
        if self._job is None:
            self._job = job
            self._begin(job, answer)
            self.request.responseHeaders.removeHeader(b"content-length")
            self.request.registerProducer(self, True)
        self.request.write(bytes(answer.body))
        return not self._is_full

    def pauseProducing(self) -> None:
        """The client does not read fast enough."""
        self._is_full = True

    def resumeProducing(self) -> None:
        """The client has read what was written."""
        self._is_full = False
        if self._job is not None:
            self._job.resume()

    def stopProducing(self) -> None:
        """The client is gone; the route's Deferred is cancelled for it."""

    def failed(self, job: Job, error: ServingError) -> None:
        """Write why there is no answer; a stream that has begun is cut off."""
        if self._job is not None:
            cut_off(self.request)
        else:
            self.answer.callback(self._prepare(job, self.dialect.failed(error)))

    def _begin(self, job: Job, answer: Answer) -> bytes:
        reply = _reply_of(answer)
        body = self._prepare(job, reply)
        # No phrase of Twisted's where the handler has set none: as channels do.
        self.request.code_message = reply.phrase
        return body

    def _prepare(self, job: Job, reply: Reply) -> bytes:
        return prepare(self.request, reply, show_id(job.request.id).decode(), self.cors)


def _body(request: Request) -> bytes:
    if request.content is None:
        return b""
    request.content.seek(0)  # it may have been read for the model's name
    body: bytes = request.content.read()
    return body


def cut_off(request: Request) -> None:
    """End the connection of an answer that cannot be finished."""
    if request.channel is not None:
        cast(Channel, request.channel).abortConnection()


def _left(failure: Failure, withdraw: Callable[[], None]) -> Failure:
    if failure.check(CancelledError):
        withdraw()
    return failure


def _reply_of(answer: Answer) -> Reply:
    phrase, _, lines = answer.header_block.partition(b"\r\n")
    return Reply(answer.status, bytes(answer.body), phrase, _pairs(lines))


def _pairs(lines: bytes) -> Headers:
    pairs = [line.partition(b": ") for line in lines.split(b"\r\n") if line]
    return [(name, value) for name, _, value in pairs]
