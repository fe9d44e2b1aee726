"""The Open Inference Protocol's GRPCInferenceService, under the standard's name and under TorchServe's.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_grpc.md
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from attrs import field
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

from modelserver.errors import BadRequest, ParameterMissing, ServingError
from modelserver.inference.health import ServerHealth
from modelserver.inference.metadata import ServerMetadata, declared_tensors
from modelserver.inference.model_extensions import ModelExtensions
from modelserver.inference.predict import Inference
from modelserver.inference.sequences import SequenceStep
from modelserver.inference.workflows import AnyInference
from modelserver.jobs import Answer, Job, ResponseObserver
from modelserver.language.attributes import define, frozen
from modelserver.protocol.frames import INFER
from modelserver.protocol.infer_parameters import InferParameter, read_parameter
from modelserver.protocol.wire_format import (
    Buffer,
    WireInvalid,
    length_field,
    spans,
    text,
    text_field,
    varint_field,
)
from modelserver.rpc.interfaces import Call
from modelserver.rpc.messages import Messages
from modelserver.rpc.predictions import AnswerForm, AnswerRules, Predictor, WholeAnswer
from modelserver.rpc.status import Statuses
from modelserver.rpc.streams import StreamedRequest

Answers = Callable[[Any, Call], Message]

_NAME, _VERSION, _ID, _PARAMETERS = 0x0A, 0x12, 0x1A, 0x22
_ERROR, _RESPONSE = 1, 2
"""The fields of ModelStreamInferResponse."""
_TELLS_LAST, _IS_LAST = "triton_enable_empty_final_response", "triton_final_response"


def read_request(message: Buffer, request: StreamedRequest) -> None:
    """
    Fill in what the server reads of a ModelInferRequest; tensors are for the worker.

    The parameters ``sequence_id``, ``sequence_start`` and ``sequence_end`` are Triton's.

    :raises BadRequest: it is no message.
    :raises ParameterMissing: no model is named.
    """
    name = version = ""
    parameters: dict[str, InferParameter] = {}
    try:
        for tag, start, end in spans(message, 0, len(message)):
            if tag == _NAME:
                name = text(message, start, end)
            elif tag == _VERSION:
                version = text(message, start, end)
            elif tag == _ID:
                request.id = text(message, start, end)
            elif tag == _PARAMETERS:
                parameters.update(read_parameter(message, start, end))
    except WireInvalid as error:
        raise BadRequest(str(error)) from error
    if not name:
        raise ParameterMissing("model_name")
    request.target = name, version or None
    if parameters:
        sequence = parameters.get("sequence_id")
        if sequence:
            request.step = SequenceStep(
                id=str(sequence),
                starts=bool(parameters.get("sequence_start")),
                ends=bool(parameters.get("sequence_end")),
            )
        request.tells_last = parameters.get(_TELLS_LAST) is True


def _nothing(size: int) -> bytes:
    """Return what comes before what the worker has made, which is a whole ModelInferResponse."""
    return b""


@frozen(eq=False)
class ModelInfer:
    """One request with tensors, one job."""

    name: str
    predictor: Predictor
    statuses: Statuses
    rules: AnswerRules
    streams_in: bool = False
    _form: AnswerForm = field(init=False)

    @_form.default
    def _make_form(self) -> AnswerForm:
        return AnswerForm(self.statuses, self.rules, _nothing)

    def begin(self, call: Call) -> None:
        """Do nothing: the request comes as a whole."""

    def message(self, call: Call, message: bytes | memoryview | None) -> None:
        """Queue a request."""
        assert message is not None, "there is one where clients do not stream"
        observer = WholeAnswer(call, self._form)
        predictor, request = self.predictor, StreamedRequest(b"")
        try:
            read_request(message, request)
            job = predictor.predict(call, request.target, message, INFER, observer, request.step)
        except ServingError as error:
            predictor.refuse(call, error, self.statuses)
            return
        observer.begun(job)
        if request.step is not None and request.step.ends:
            observer.on_end = partial(predictor.inference.end_sequence, *request.target, request.step.id)


@frozen(eq=False)
class StreamedInfer:
    """Reads and words what ModelStreamInfer carries; an error is a message, as in Triton."""

    predictor: Predictor
    statuses: Statuses

    @property
    def inference(self) -> Inference:
        """The use case."""
        return self.predictor.inference

    def read(self, request: StreamedRequest) -> None:
        """
        Read the model and the sequence of a request.

        :raises ServingError: it names none, or is no message.
        """
        read_request(request.message, request)

    def submit(self, call: Call, request: StreamedRequest, observer: ResponseObserver) -> Job:
        """Queue a request."""
        return self.predictor.predict(call, request.target, request.message, INFER, observer, request.step)

    def answered(self, request: StreamedRequest, answer: Answer, is_last: bool) -> bytes:
        """Return an answer, or a part of one; the parameter that names the last is Triton's."""
        response = answer.body
        if request.tells_last:
            # Fields that follow a message are part of it.
            response = b"".join((response, _parameter(_IS_LAST, is_last)))
        return length_field(_RESPONSE, response)

    def failed(self, request: StreamedRequest, error: ServingError) -> bytes:
        """Return why there is no answer, with the request's id."""
        said = self.statuses.of(error).message.rpartition("\n")[0]
        response = text_field(3, request.id)
        if request.tells_last:
            response += _parameter(_IS_LAST, True)
        return text_field(_ERROR, said) + length_field(_RESPONSE, response)


def _parameter(name: str, value: bool) -> bytes:
    """Return an entry of ModelInferResponse's parameters."""
    return length_field(4, text_field(1, name) + length_field(2, varint_field(1, value)))


@define(eq=False)
class OpenInferenceService:
    """
    Answers what clients ask about the server and its models.

    :param inference: tells of models and workflows.
    :param extensions: tells more about them.
    :param package: whose messages the answers are.
    """

    health: ServerHealth
    inference: AnyInference
    extensions: ModelExtensions
    messages: Messages
    package: str
    _types: Mapping[str, Any] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._types = {
            name: self.messages.type_of(f"{self.package}.{name}Response") for name in self.answers()
        }

    def answers(self) -> Mapping[str, Answers]:
        """Return the functions that answer, by the name of the method."""
        return {
            "ServerLive": self.is_live,
            "ServerReady": self.is_ready,
            "ModelReady": self.is_model_ready,
            "ServerMetadata": self.describe_server,
            "ModelMetadata": self.describe_model,
            "ModelConfig": self.tell_configuration,
            "ModelStatistics": self.tell_statistics,
        }

    def is_live(self, request: Any, call: Call) -> Message:
        """Answer that the server runs."""
        return self._answer("ServerLive", live=self.health.is_live())

    def is_ready(self, request: Any, call: Call) -> Message:
        """Answer whether all models can be asked."""
        return self._answer("ServerReady", ready=self.health.is_ready())

    def is_model_ready(self, request: Any, call: Call) -> Message:
        """
        Answer whether a worker has loaded the model.

        :raises ParameterMissing: no model is named.
        """
        if not request.name:
            raise ParameterMissing("name")
        is_ready = self.inference.is_ready(request.name, request.version or None)
        return self._answer("ModelReady", ready=is_ready)

    def describe_server(self, request: Any, call: Call) -> Message:
        """Answer which server this is."""
        server = ServerMetadata()
        return self._answer(
            "ServerMetadata", name=server.name, version=server.version, extensions=server.extensions
        )

    def describe_model(self, request: Any, call: Call) -> Message:
        """
        Answer which tensors a model takes and returns.

        :raises ParameterMissing: no model is named.
        """
        if not request.name:
            raise ParameterMissing("model_name")
        model = self.inference.metadata(request.name, request.version or None)
        return self._answer(
            "ModelMetadata",
            name=model.name,
            versions=model.versions,
            platform=model.platform,
            inputs=_tensors(model.inputs),
            outputs=_tensors(model.outputs),
        )

    def tell_configuration(self, request: Any, call: Call) -> Message:
        """
        Answer how a model is configured.

        :raises ParameterMissing: no model is named.
        """
        if not request.name:
            raise ParameterMissing("model_name")
        config = self.extensions.configuration(request.name, request.version or None)
        return ParseDict({"config": config}, self._answer("ModelConfig"))

    def tell_statistics(self, request: Any, call: Call) -> Message:
        """Answer what was counted of a version, of a model, or of all where none is named."""
        told = self.extensions.statistics(request.name or None, request.version or None)
        return ParseDict(dict(told), self._answer("ModelStatistics"))

    def _answer(self, method: str, **fields: object) -> Message:
        response: Message = self._types[method](**fields)
        return response


def _tensors(described: Sequence[object]) -> list[dict[str, object]]:
    """Return tensors as messages have them."""
    return [
        {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
        for tensor in declared_tensors(described)
    ]
