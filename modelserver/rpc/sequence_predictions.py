"""TorchServe's StreamPredictions2: requests of models that keep a state for each sequence."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from attrs import field

from modelserver.errors import ParameterMissing, ServingError
from modelserver.inference.predict import Inference
from modelserver.inference.sequences import SequenceStep
from modelserver.jobs import Answer, Job, ResponseObserver
from modelserver.language.attributes import define
from modelserver.protocol.frames import INPUTS
from modelserver.protocol.wire_format import text_field
from modelserver.rpc.codes import CallStatus, Code
from modelserver.rpc.inference import is_set, prediction_message, read_head
from modelserver.rpc.interfaces import Call
from modelserver.rpc.messages import Messages
from modelserver.rpc.predictions import AnswerRules, Predictor
from modelserver.rpc.status import Statuses, code_of_http
from modelserver.rpc.streams import StreamedRequest
from modelserver.version_settings.values import Sequences

_SEQUENCE = 2
"""The field ``PredictionResponse.sequence_id``."""


@define(eq=False)
class SequencePredictions:
    """
    Reads and words what StreamPredictions2 carries.

    A request names its sequence in ``sequence_id``, or begins one with the input
    ``ts_request_sequence_start``. The input ``ts_request_sequence_end`` ends it. Both are called as the
    version's settings say.
    """

    predictor: Predictor
    statuses: Statuses
    rules: AnswerRules
    messages: Messages
    _response: Any = field(init=False)
    _reason: Any = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._response = self.messages.type_of("org.pytorch.serve.grpc.inference.PredictionResponse")
        self._reason = self.messages.type_of("google.rpc.ErrorInfo")

    @property
    def inference(self) -> Inference:
        """The use case."""
        return self.predictor.inference

    def read(self, request: StreamedRequest) -> None:
        """
        Read the model and the sequence of a request.

        :raises ParameterMissing: one of them is not named.
        """
        message = request.message
        head = read_head(message)
        request.target = head.target
        rules = self._rules_of(request)
        starts = not head.sequence
        if starts and not is_set(message, rules.start_header):
            raise ParameterMissing("sequenceId")
        if not head.target[0]:
            raise ParameterMissing("model_name")
        request.step = SequenceStep(
            id=f"ts-seq-{uuid4()}" if starts else head.sequence,
            starts=starts,
            ends=is_set(message, rules.end_header),
        )

    def _rules_of(self, request: StreamedRequest) -> Sequences:
        try:
            return self.inference.sequences_of(*request.target)
        except ServingError:  # which the queue's refusal will tell
            return Sequences()

    def submit(self, call: Call, request: StreamedRequest, observer: ResponseObserver) -> Job:
        """Queue a request."""
        return self.predictor.predict(call, request.target, request.message, INPUTS, observer, request.step)

    def answered(self, request: StreamedRequest, answer: Answer, is_last: bool) -> bytes:
        """Return a prediction, with the sequence's name."""
        message = prediction_message(answer.body) + self._name_of(request)
        code = code_of_http(answer.status) if self.rules.maps_status else Code.OK
        if code is Code.OK:
            return message
        return message + self._status(CallStatus(code, ""))

    def failed(self, request: StreamedRequest, error: ServingError) -> bytes:
        """Return a status instead of a prediction."""
        status = self.statuses.of(error)
        if status.code is Code.OK:  # which is a handler's word for it
            status = status._replace(code=Code.UNKNOWN)
        return self._status(status) + self._name_of(request)

    def _name_of(self, request: StreamedRequest) -> bytes:
        return b"" if request.step is None else text_field(_SEQUENCE, request.step.id)

    def _status(self, status: CallStatus) -> bytes:
        """Return a message with a status; TorchServe has the second line as the reason of a detail."""
        text, _, reason = status.message.rpartition("\n")
        response = self._response()
        response.status.code, response.status.message = int(status.code), text
        if reason:
            response.status.details.add().Pack(self._reason(reason=reason))
        data: bytes = response.SerializeToString()
        return data
