"""TorchServe's InferenceAPIsService: health, predictions, and streams of them."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

from attrs import field
from google.protobuf.message import Message

from modelserver.errors import BadRequest, ParameterMissing, ServingError
from modelserver.inference.health import health_of
from modelserver.inference.sequences import SequenceStep
from modelserver.interfaces import Dialect
from modelserver.language.attributes import define, frozen
from modelserver.protocol.frames import INPUTS
from modelserver.protocol.wire_format import Buffer, WireInvalid, map_entry, read_varint, spans, text, varint
from modelserver.rpc.interfaces import Call
from modelserver.rpc.messages import Messages
from modelserver.rpc.predictions import (
    AnswerForm,
    AnswerRules,
    Body,
    Predictor,
    StreamedAnswer,
    WholeAnswer,
)
from modelserver.rpc.status import Statuses
from modelserver.system.bounded_cache import Memo

_PREDICTION = b"\x0a"
"""The tag of ``PredictionResponse.prediction``."""
_NAME, _VERSION, _INPUT, _SEQUENCE = 0x0A, 0x12, 0x1A, 0x22
_SHORTEST = 4
"""Bytes of a name and an input, both empty."""
_AROUND_NAME = 6
"""Two before a name; behind it, the tag of an input and its length, if the input is shorter than 2 MB."""


@frozen
class PredictionHead:
    """
    What the server reads of a PredictionsRequest; the inputs are for the worker.

    :param target: the model and its version.
    :param sequence: the sequence that the request belongs to; empty: none is named.
    """

    target: tuple[str, str | None]
    sequence: str = ""


def read_head(message: Buffer) -> PredictionHead:
    """
    Read which model is asked; the name may be empty.

    :raises BadRequest: it is no message.
    """
    size = len(message)
    if size > _SHORTEST and (plain := _HEADS[bytes(message[: message[1] + _AROUND_NAME]), size]) is not None:
        return plain
    name = version = sequence = ""
    try:
        for tag, start, end in spans(message, 0, size):
            if tag == _NAME:
                name = text(message, start, end)
            elif tag == _VERSION:
                version = text(message, start, end)
            elif tag == _SEQUENCE:
                sequence = text(message, start, end)
    except WireInvalid as error:
        raise BadRequest(str(error)) from error
    return PredictionHead((name, version or None), sequence)


def _head_before_one_input(begin_and_size: tuple[bytes, int]) -> PredictionHead | None:
    """
    Return the head where nothing but one input follows the model's name, as in nearly all requests.

    It is told by how a message begins, and how long it is; None: not so, or it cannot be told.
    """
    begin, size = begin_and_size
    at = 3 + begin[1]
    if begin[1] >= 0x80 or at > len(begin) or begin[0] != _NAME or begin[at - 1] != _INPUT:
        return None
    try:
        length, start = read_varint(begin, at, len(begin))
        name = text(begin, 2, at - 1)
    except WireInvalid:
        return None
    return PredictionHead((name, None)) if name and start + length == size else None


class LastHead:
    """Reads heads, and knows the last one again: most messages ask what the one before them has asked."""

    __slots__ = ("_begin", "_head", "_length", "_size")

    def __init__(self) -> None:
        self._begin, self._length, self._size = b"", 0, -1
        self._head = PredictionHead(("", None))

    def read(self, message: Buffer) -> PredictionHead:
        """
        Do as ``read_head``.

        :raises BadRequest: it is no message.
        """
        size = len(message)
        if size == self._size and message[: self._length] == self._begin:
            return self._head
        head = read_head(message)
        if not head.sequence and size > _SHORTEST:
            begin = bytes(message[: message[1] + _AROUND_NAME])
            if _HEADS.get((begin, size)) is head:  # told by how it begins, and how long it is
                self._begin, self._length, self._size, self._head = begin, len(begin), size, head
        return head


_HEADS = Memo(_head_before_one_input, 1024)
"""The heads of messages: most are for the models of those before, and of like sizes."""


def is_set(message: Buffer, name: str) -> bool:
    """
    Return whether an input of this name says true.

    :raises BadRequest: it is no message.
    """
    try:
        for tag, start, end in spans(message, 0, len(message)):
            if tag == _INPUT:
                found, at, stop = map_entry(message, start, end)
                if found == name:
                    return bytes(message[at:stop]).strip().lower() == b"true"
    except WireInvalid as error:
        raise BadRequest(str(error)) from error
    return False


def step_of(message: Buffer, head: PredictionHead, predictor: Predictor) -> SequenceStep:
    """
    Return the place of a request in the sequence that it names.

    :raises ServingError: there is no such version, or it is no message.
    """
    rules = predictor.inference.sequences_of(*head.target)
    return SequenceStep(head.sequence, ends=is_set(message, rules.end_header))


def prediction_message(body: Body) -> bytes:
    """Return a PredictionResponse."""
    return b"".join((_head(len(body)), body))


@lru_cache(1024)  # parts of one stream are often of like sizes
def _head(size: int) -> bytes:
    return _PREDICTION + varint(size)


@frozen(eq=False)
class Predictions:
    """
    Predictions and StreamPredictions: one request, one job.

    :param answers_with: what ends a call, or sends its parts.
    """

    name: str
    predictor: Predictor
    statuses: Statuses
    rules: AnswerRules
    answers_with: type[WholeAnswer] | type[StreamedAnswer] = WholeAnswer
    streams_in: bool = False
    _form: AnswerForm = field(init=False)
    _heads: LastHead = field(factory=LastHead, init=False)

    @_form.default
    def _make_form(self) -> AnswerForm:
        return AnswerForm(self.statuses, self.rules, _head, carries_text=True)

    def begin(self, call: Call) -> None:
        """Do nothing: the request comes as a whole."""

    def message(self, call: Call, message: bytes | memoryview | None) -> None:
        """Queue a request."""
        assert message is not None, "there is one where clients do not stream"
        observer = self.answers_with(call, self._form)
        predictor = self.predictor
        try:
            head = self._heads.read(message)
            if not head.target[0]:
                raise ParameterMissing("model_name")
            step = step_of(message, head, predictor) if head.sequence else None
            job = predictor.predict(call, head.target, message, INPUTS, observer, step)
        except ServingError as error:
            predictor.refuse(call, error, self.statuses)
        else:
            observer.begun(job)
            if step is not None and step.ends:
                observer.on_end = partial(predictor.inference.end_sequence, *head.target, step.id)


@define(eq=False)
class Ping:
    """Answers whether the models have their workers; the call is OK either way, as in TorchServe."""

    predictor: Predictor
    dialect: Dialect
    messages: Messages
    _response: Any = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._response = self.messages.type_of("org.pytorch.serve.grpc.inference.TorchServeHealthResponse")

    def answer(self, request: Message, call: Call) -> Message:
        """Answer with the JSON of REST's ping."""
        health = health_of(self.predictor.inference.registry)
        reply = self.dialect.pinged(health.wanted, health.running, health.is_healthy)
        response: Message = self._response(health=reply.body.decode().removesuffix("\n"))
        return response
