"""The services of both listeners, made of the use cases; and who may make which call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from attrs import field
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from modelserver.errors import AccessDenied, ServingError
from modelserver.inference.health import ServerHealth
from modelserver.inference.model_extensions import ModelExtensions
from modelserver.inference.predict import Inference
from modelserver.inference.workflows import AnyInference, WorkflowInference
from modelserver.interfaces import Dialect
from modelserver.language.attributes import define, frozen
from modelserver.management.repository import ModelRepository
from modelserver.management.service import Management
from modelserver.metrics.figures import Figures
from modelserver.protocol.shared_memory import SharedMemoryPool
from modelserver.rpc.codes import CallRefused, CallStatus, Code
from modelserver.rpc.health import HealthCheck, HealthState, HealthWatch
from modelserver.rpc.inference import Ping, Predictions
from modelserver.rpc.interfaces import Call, EndedCall, RpcMethod
from modelserver.rpc.management import ManagementService
from modelserver.rpc.messages import Messages
from modelserver.rpc.methods import (
    HEALTH,
    INFERENCE,
    MANAGEMENT,
    OPEN_INFERENCE,
    REFLECTION,
    REPOSITORY,
    TORCHSERVE_INFERENCE,
    MethodRow,
    methods_of,
    services_of,
)
from modelserver.rpc.open_inference import ModelInfer, OpenInferenceService, StreamedInfer
from modelserver.rpc.predictions import AnswerRules, Predictor, StreamedAnswer
from modelserver.rpc.reflection import Reflection
from modelserver.rpc.repository import RepositoryService
from modelserver.rpc.sequence_predictions import SequencePredictions
from modelserver.rpc.status import PREDICTION_ENDINGS, QUESTION_ENDINGS, Statuses
from modelserver.rpc.streams import StreamingMethod
from modelserver.rpc.unary import LateUnary, Unary
from modelserver.security.authorization import AllowAll, Authorizer

MODEL_API_DISABLED = "Model API disabled\norg.pytorch.serve.archive.model.ModelException"


class CallNotes(Protocol):
    """Where calls that are over are written down."""

    def ended(self, calls: Sequence[EndedCall], now: float) -> None:
        """Note calls of one connection that are over; ``now``: the reactor's seconds."""


@frozen(eq=False, kw_only=True)
class UseCases:
    """
    What the services call.

    :param gate: decides on tokens.
    :param slots: memory that workers can read, for large messages; None: there is none.
    :param repository: the model store, by the names of its models.
    :param figures: what was counted so far.
    :param workflows: runs workflows; None: there are none.
    """

    inference: Inference
    management: Management
    health: ServerHealth
    dialect: Dialect
    gate: Authorizer
    clock: IReactorTime
    repository: ModelRepository
    figures: Callable[[], Figures]
    slots: SharedMemoryPool | None = None
    workflows: WorkflowInference | None = None


@frozen(kw_only=True)
class SiteRules:
    """
    What an operator decides about calls.

    :param largest: bytes of a message that a client may send.
    :param answers: what becomes of answers.
    :param allows_registering: whether models may be registered and unregistered (``enable_model_api``).
    :param has_open_inference: whether the Open Inference Protocol is served.
    :param repository_at_inference: whether its methods that manage are at the inference listener, too.
    """

    largest: int = 6553500
    answers: AnswerRules = field(factory=AnswerRules)
    allows_registering: bool = True
    has_open_inference: bool = True
    repository_at_inference: bool = True

    def serves(self, row: MethodRow, side: str) -> bool:
        """Return whether a listener has a method that the table has for it."""
        if row.service not in OPEN_INFERENCE:
            return True
        is_guest = side == INFERENCE and row.method in REPOSITORY
        return self.has_open_inference and (self.repository_at_inference or not is_guest)


@define(eq=False)
class Site:
    """
    The services of one listener: its ``CallSite``.

    :param methods: the functions that answer, by path.
    :param rows: the rows of the table of those methods.
    :param new_id: makes the ids of calls that are no jobs.
    :raises LookupError: a row has no method, or a method no row.
    """

    methods: Mapping[str, RpcMethod]
    rows: Iterable[MethodRow]
    gate: Authorizer
    new_id: Callable[[], bytes]
    statuses: Statuses
    rules: SiteRules
    calls: CallNotes
    log: Callable[[Failure], object]
    largest: int = field(init=False)
    find: Callable[[bytes], RpcMethod | None] = field(init=False)
    """Returns the method with exactly this path, or None."""
    ended: Callable[[Sequence[EndedCall], float], None] = field(init=False)
    """Writes down calls that are over."""
    _row_of: Mapping[str, MethodRow] = field(init=False)
    _open: frozenset[str] = field(init=False)
    """Paths of methods about whose calls there is nothing to decide."""

    def __attrs_post_init__(self) -> None:
        self._row_of = {row.path: row for row in self.rows}
        lonely = set(self._row_of).symmetric_difference(self.methods)
        if lonely or any(path != method.name for path, method in self.methods.items()):
            raise LookupError(f"rows and methods do not fit together: {sorted(lonely)}")
        lets_all_in = isinstance(self.gate, AllowAll)
        self._open = frozenset(
            path
            for path, row in self._row_of.items()
            if row.is_job and not row.registers and (row.key_kind is None or lets_all_in)
        )
        self.largest, self.ended = self.rules.largest, self.calls.ended
        self.find = {path.encode(): method for path, method in self.methods.items()}.get

    def is_open(self, method: RpcMethod) -> bool:
        """Return whether there is nothing to decide about calls of a method."""
        return method.name in self._open

    def begin(self, call: Call, method: RpcMethod) -> None:
        """
        Decide whether a call may be made, by the row of the method that its path was found to mean.

        :raises AccessDenied: the call has not the key that the method asks for.
        :raises CallRefused: the operator has forbidden it.
        """
        if method.name in self._open:
            return
        row = self._row_of[method.name]
        if not row.is_job:
            call.request_id = self.new_id()
        if row.key_kind is not None:
            try:
                self.gate.check(row.key_kind, call.field(b"authorization"))
            except AccessDenied:
                call.request_id = self.new_id()
                raise
        if row.registers and not self.rules.allows_registering:
            raise CallRefused(Code.PERMISSION_DENIED, MODEL_API_DISABLED)

    def status_of(self, error: ServingError) -> CallStatus:
        """Return how a call ends that failed with an error."""
        return self.statuses.of(error)

    def log_failure(self, failure: Failure) -> None:
        """Write down a defect of the server."""
        self.log(failure)


def make_sites(
    cases: UseCases, rules: SiteRules, calls: CallNotes, log: Callable[[Failure], object]
) -> Mapping[str, Site]:
    """
    Return the services of both listeners, by ``inference`` and ``management``.

    :param calls: where calls that are over are written down.
    :param log: where defects of the server are.
    """
    messages = Messages.load()
    made = {INFERENCE: _torchserve(cases, rules, messages), MANAGEMENT: _management(cases, messages)}
    if rules.has_open_inference:
        repository = _repository(cases, messages)
        made[INFERENCE] += _open_inference(cases, rules, messages)
        made[INFERENCE] += repository if rules.repository_at_inference else []
        made[MANAGEMENT] += repository
    rows = {side: [row for row in methods_of(side) if rules.serves(row, side)] for side in made}
    return {
        side: Site(
            methods={method.name: method for method in (*methods, *_standard(cases, messages, rows[side]))},
            rows=rows[side],
            gate=cases.gate,
            new_id=cases.inference.new_id,
            statuses=Statuses(cases.dialect),
            rules=rules,
            calls=calls,
            log=log,
        )
        for side, methods in made.items()
    }


def _torchserve(cases: UseCases, rules: SiteRules, messages: Messages) -> list[RpcMethod]:
    predictor = Predictor(cases.inference, cases.clock, cases.slots, cases.workflows)
    statuses = Statuses(cases.dialect, PREDICTION_ENDINGS)
    answers = rules.answers
    prefix = f"/{TORCHSERVE_INFERENCE}"
    ping = Ping(predictor, cases.dialect, messages)
    sequences = SequencePredictions(predictor, statuses, answers, messages)
    return [
        Unary(f"{prefix}/Ping", messages.type_of("google.protobuf.Empty"), ping.answer, statuses),
        Predictions(f"{prefix}/Predictions", predictor, statuses, answers),
        Predictions(f"{prefix}/StreamPredictions", predictor, statuses, answers, StreamedAnswer),
        StreamingMethod(f"{prefix}/StreamPredictions2", sequences),
    ]


def _open_inference(cases: UseCases, rules: SiteRules, messages: Messages) -> list[RpcMethod]:
    predictor = Predictor(cases.inference, cases.clock, cases.slots, cases.workflows)
    statuses = Statuses(cases.dialect, PREDICTION_ENDINGS)
    methods: list[RpcMethod] = []
    for service in OPEN_INFERENCE:
        package = service.rpartition(".")[0]
        extensions = ModelExtensions(predictor.either, cases.figures)
        about = OpenInferenceService(cases.health, predictor.either, extensions, messages, package)
        methods += _questions(Unary, service, about.answers(), cases, messages)
        methods.append(ModelInfer(f"/{service}/ModelInfer", predictor, statuses, rules.answers))
        methods.append(StreamingMethod(f"/{service}/ModelStreamInfer", StreamedInfer(predictor, statuses)))
    return methods


def _repository(cases: UseCases, messages: Messages) -> list[RpcMethod]:
    methods: list[RpcMethod] = []
    for service in OPEN_INFERENCE:
        package = service.rpartition(".")[0]
        answers = RepositoryService(cases.repository, messages, package).answers()
        methods += _questions(LateUnary, service, answers, cases, messages)
    return methods


def _questions(
    kind: type[Unary] | type[LateUnary],
    service: str,
    answers: Mapping[str, Callable[..., Any]],
    cases: UseCases,
    messages: Messages,
) -> list[RpcMethod]:
    """Return a method of a service of the Open Inference Protocol for each answer, by its name."""
    statuses = Statuses(cases.dialect, QUESTION_ENDINGS)
    package = service.rpartition(".")[0]
    return [
        kind(f"/{service}/{name}", messages.type_of(f"{package}.{name}Request"), answer, statuses)
        for name, answer in answers.items()
    ]


def _management(cases: UseCases, messages: Messages) -> list[RpcMethod]:
    service = ManagementService(cases.management, cases.dialect, messages)
    package = "org.pytorch.serve.grpc.management"
    return [
        LateUnary(
            path,
            messages.type_of(f"{package}.{path.rpartition('/')[2]}Request"),
            answer,
            Statuses(cases.dialect),
        )
        for path, answer in service.answers().items()
    ]


def _standard(cases: UseCases, messages: Messages, rows: Iterable[MethodRow]) -> list[RpcMethod]:
    """Return the services that every listener has; ``rows``: those of the listener."""
    services = services_of(rows)
    state = HealthState(cases.health, AnyInference(cases.inference, cases.workflows), services, cases.gate)
    check = HealthCheck(state, messages)
    request = messages.type_of("grpc.health.v1.HealthCheckRequest")
    reflections = [
        Reflection(f"/{service}/ServerReflectionInfo", service.rpartition(".")[0], services, messages)
        for service in REFLECTION
    ]
    return [
        Unary(f"/{HEALTH}/Check", request, check.answer, Statuses(cases.dialect)),
        HealthWatch(state, messages, cases.clock),
        *reflections,
    ]
