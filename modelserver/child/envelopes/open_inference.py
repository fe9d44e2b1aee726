"""The Open Inference Protocol, version 2, as the envelope ``kservev2``: JSON and binary tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from modelserver.child.context import Context, PredictionException
from modelserver.child.data.infer_request import InferDocument
from modelserver.child.data.refusals import (
    BAD_REQUEST,
    MISMATCH,
    NO_LIST,
    RowsRefused,
    answers_apart,
    has_requests,
    narrowed,
    reason,
)
from modelserver.child.data.rows import json_value, row_value
from modelserver.child.envelopes.base import (
    BaseEnvelope,
    EnvelopeRefused,
    Rows,
    first_error,
    of_requests,
    refused,
    shown,
)
from modelserver.child.envelopes.tensors import describe, flatten, from_binary, is_shape, reshape, to_binary
from modelserver.child.failures import report_failure

Document = dict[str, object]
HEADER_LENGTH = "Inference-Header-Content-Length"


class InferRequest(NamedTuple):
    """
    One request, opened.

    :param inputs: name, shape, datatype and data of each tensor.
    :param names: of the outputs: those asked for, else those of the inputs.
    :param binary: the places of outputs that shall be sent as bytes; None for all of them.
    :param is_message: it came over gRPC: whoever encodes the answer puts the bytes where they belong.
    """

    id: str | None
    inputs: list[Document]
    names: list[str]
    binary: frozenset[int] | None
    is_message: bool = False

    def is_binary(self, number: int) -> bool:
        """Whether an output leaves as bytes."""
        return self.binary is None or number in self.binary


class KServev2Envelope(BaseEnvelope):
    """
    Each request's ``inputs`` become rows, the handler's results ``outputs``.

    Requests of one tensor each go to the handler together, a row for each; a request of several tensors is
    a batch of its own, because its tensors belong together. One that cannot be read is answered with 400.
    """

    def handle(self, data: Rows, context: Context) -> list[object]:
        """Open the requests, call the handler, close its results."""
        self.context = context
        answers: list[object] = [None] * len(data)
        opened: dict[int, InferRequest] = {}
        for place, row in enumerate(data):
            try:
                opened[place] = open_request(row, _header(context, place, HEADER_LENGTH))
            except Exception as error:
                answers[place] = _refused(context, place, row, reason(error))
        for group in _groups(opened):
            requests = [opened[place] for place in group]
            part = narrowed(context, group, len(data))
            try:
                results = self._results(requests, part)
            except RowsRefused as refusal:
                results = answers_apart(refusal, self._results, requests, part)
            for place, outputs in zip(group, results, strict=True):
                answers[place] = self._closed(place, opened[place], outputs)
        return answers

    def parse_input(self, data: Rows) -> list[Document]:
        """The tensors of all requests in order."""
        return [tensor for row in data for tensor in open_request(row, None).inputs]

    def format_output(self, data: object) -> list[object]:
        """A response for the results of one request."""
        results = data if isinstance(data, list) else [data]
        return [self._close(0, InferRequest(None, [], [], frozenset()), results)]

    def _results(self, requests: object, context: Context) -> list[object]:
        """
        The list of results for each of the requests, which are an ``InferRequest`` each.

        :raises PredictionException: there is not one for each of several requests.
        :raises RowsRefused: the handler refused tensors; the places are those of their requests.
        """
        assert isinstance(requests, Sequence)
        rows = [tensor for request in requests for tensor in request.inputs]
        # Where TorchServe's handlers look for the names.
        context.input_names = [str(tensor["name"]) for tensor in rows]  # type: ignore[attr-defined]
        try:
            results = self._handle_fn(rows, context)
        except RowsRefused as refusal:
            owners = [number for number, request in enumerate(requests) for _ in request.inputs]
            raise of_requests(refusal, owners, len(requests)) from refusal
        if len(requests) == 1:
            return [results if isinstance(results, list) else [results]]
        if not isinstance(results, list):
            raise PredictionException(NO_LIST, 503)
        if len(results) != len(requests):
            raise PredictionException(MISMATCH, 503)
        return [[result] for result in results]

    def _closed(self, place: int, request: InferRequest, results: object) -> object:
        """The answer of one request; where it cannot be made, that is this request's error only."""
        outputs = results if isinstance(results, list) else [results]
        failed = first_error(outputs)
        if failed is not None:
            return failed if request.is_message else shown(self.context, place, failed)
        try:
            return self._close(place, request, outputs)
        except Exception as error:
            assert self.context is not None
            report_failure(error, self.context)
            return error

    def _close(self, place: int, request: InferRequest, results: Sequence[object]) -> object:
        context = self.context
        assert context is not None
        model = (context.manifest or {}).get("model")
        outputs, tail = [], []
        for number, result in enumerate(results):
            name = request.names[number] if number < len(request.names) else f"output_{number}"
            datatype, shape = describe(result)
            output: Document = {"name": name, "datatype": datatype, "shape": shape}
            if request.is_message:
                output["data"] = to_binary(datatype, result) if request.is_binary(number) else flatten(result)
            elif request.is_binary(number):
                raw = to_binary(datatype, result)
                output["parameters"] = {"binary_data_size": len(raw)}
                tail.append(raw)
            else:
                output["data"] = flatten(result)
            outputs.append(output)
        response: Document = {
            "id": request.id or (context.get_request_id(place) if has_requests(context) else None),
            "model_name": getattr(context, "model_name", ""),
            "model_version": str((model if isinstance(model, dict) else {}).get("modelVersion", "")),
            "outputs": outputs,
        }
        if not tail:
            return response
        head = json.dumps(response).encode()
        context.set_response_header(place, HEADER_LENGTH, str(len(head)))
        context.set_response_content_type(place, "application/octet-stream")
        return b"".join([head, *tail])


def _groups(opened: Mapping[int, InferRequest]) -> list[list[int]]:
    """The places of requests that are one call of the handler: together if each of them is one tensor."""
    places = list(opened)
    if all(len(request.inputs) == 1 for request in opened.values()):
        return [places] if places else []
    return [[place] for place in places]


def open_request(row: object, header_length: str | None) -> InferRequest:
    """
    Read a request's JSON, and the tensors that follow it as bytes.

    :param header_length: how many bytes of the body are JSON, if the client said so.
    :raises ValueError: it is not what the protocol says.
    """
    document, tail = _split(row, header_length)
    inputs = document.get("inputs")
    if not isinstance(inputs, list) or not inputs or not all(isinstance(tensor, dict) for tensor in inputs):
        raise EnvelopeRefused('The request is not JSON with a list of "inputs".')
    if isinstance(document, InferDocument):
        return _message_opened(document)
    position, tensors = 0, []
    for tensor in inputs:
        size = _parameters(tensor).get("binary_data_size")
        if isinstance(size, int):
            tensors.append(_binary_input(tensor, tail[position : position + size], size))
            position += size
        else:
            tensors.append(_json_input(tensor))
    outputs = document.get("outputs")
    names, binary = _wanted(outputs if isinstance(outputs, list) else [], document)
    identity = document.get("id")
    return InferRequest(
        None if identity is None else str(identity),
        tensors,
        names or [str(tensor["name"]) for tensor in tensors],
        binary,
    )


def _message_opened(document: InferDocument) -> InferRequest:
    """The request of a message, whose tensors were read with it."""
    tensors = document.tensors
    wanted = document.get("outputs")
    names = [str(output["name"]) for output in wanted] if isinstance(wanted, list) else []
    return InferRequest(
        id=str(document["id"]) or None,
        inputs=tensors,
        names=names or [str(tensor["name"]) for tensor in tensors],
        binary=None if document.is_raw else frozenset(),
        is_message=True,
    )


def _refused(context: Context, place: int, row: object, text: str) -> object:
    """The answer to a request that cannot be read; a message has no place for it but the call's status."""
    if isinstance(row_value(row), InferDocument):
        return PredictionException(text, BAD_REQUEST)
    return refused(context, place, text)


def _split(row: object, header_length: str | None) -> tuple[Document, memoryview]:
    value, tail = row_value(row), memoryview(b"")
    if header_length is not None and isinstance(value, bytes | bytearray | memoryview):
        size, whole = int(header_length), memoryview(value)
        if not 0 <= size <= len(whole):
            raise EnvelopeRefused(f"{HEADER_LENGTH} is {size}, the body has {len(whole)} bytes.")
        document, tail = json.loads(bytes(whole[:size])), whole[size:]
    else:
        document = json_value(row)
    if not isinstance(document, dict):
        raise EnvelopeRefused('The request is not JSON with a list of "inputs".')
    return document, tail


def _wanted(outputs: Sequence[object], document: Document) -> tuple[list[str], frozenset[int] | None]:
    wanted = [output for output in outputs if isinstance(output, dict) and "name" in output]
    everything = _parameters(document).get("binary_data_output") is True
    if everything and not wanted:
        return [], None
    places = {
        number
        for number, output in enumerate(wanted)
        if _parameters(output).get("binary_data", everything) is True
    }
    return [str(output["name"]) for output in wanted], frozenset(places)


def _json_input(tensor: Document) -> Document:
    _check(tensor, ("name", "shape", "datatype", "data"))
    return {**tensor, "data": reshape(tensor["data"], _shape(tensor), tensor["datatype"] == "BYTES")}


def _binary_input(tensor: Document, raw: memoryview, size: int) -> Document:
    _check(tensor, ("name", "shape", "datatype"))
    if len(raw) != size:
        raise EnvelopeRefused(f"The input {tensor['name']} says {size} bytes, the body has {len(raw)}.")
    return {**tensor, "data": from_binary(str(tensor["datatype"]), raw, _shape(tensor))}


def _shape(tensor: Document) -> list[int]:
    shape = tensor["shape"]
    if type(shape) is int:  # a size alone, as TorchServe's example of BERT has it
        shape = [shape]
    if not isinstance(shape, list) or not is_shape(shape):
        raise EnvelopeRefused(f"The shape of the input {tensor['name']} is no list of sizes.")
    return shape


def _check(tensor: Document, keys: Sequence[str]) -> None:
    missing = [key for key in keys if key not in tensor]
    if missing:
        raise EnvelopeRefused(f"An input has no {', '.join(missing)}.")


def _parameters(document: Document) -> Document:
    parameters = document.get("parameters")
    return parameters if isinstance(parameters, dict) else {}


def _header(context: Context, place: int, name: str) -> str | None:
    return context.get_request_header(place, name) if has_requests(context) else None
