"""
Answers of the Open Inference Protocol over gRPC, in their wire format: a ``ModelInferResponse``.

A handler, or the envelope before it, answers as the JSON of the protocol says.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from modelserver.child.data.infer_request import ELEMENTS, Document
from modelserver.child.envelopes.tensors import BFLOAT, BYTES, flatten
from modelserver.protocol.wire_format import (
    length_field,
    packed_varints,
    text_field,
    varint,
    varint_field,
)

_KEYS = ("name", "datatype", "shape", "data")
_LENGTH = struct.Struct("<I")


class InferAnswerInvalid(ValueError):
    """What a handler has returned is no answer of the protocol; the text is for the client."""


class InferEncoder:
    """
    Makes messages of what a handler returns for one request.

    :param request: names what the answer does not name: ``model_name``, ``model_version`` and ``id``.
    :param version: the version of the model, where the request names none.
    :param is_raw: the elements of the request came as bytes.
    """

    def __init__(self, request: Mapping[str, Any], version: str, is_raw: bool) -> None:
        self._names = {
            "model_name": request["model_name"],
            "model_version": request.get("model_version") or version,
            "id": request["id"],
        }
        self._is_raw = is_raw

    def __call__(self, item: object) -> bytes:
        """
        Return a message; nothing for a part that is empty.

        :raises TypeError: it is an exception.
        :raises InferAnswerInvalid: it is no answer of the protocol.
        """
        if isinstance(item, Exception):
            raise TypeError("an exception is no answer")
        if isinstance(item, bytes | bytearray | str):
            if not item:
                return b""
            try:
                item = json.loads(item)
            except (ValueError, RecursionError) as error:
                raise InferAnswerInvalid(f"The handler's answer is no JSON: {error}") from error
        outputs = item.get("outputs") if isinstance(item, dict) else None
        if not isinstance(item, dict) or not isinstance(outputs, list):
            raise InferAnswerInvalid('The handler\'s answer is no object with a list of "outputs".')
        for output in outputs:
            missing = [key for key in _KEYS if not isinstance(output, dict) or key not in output]
            if missing:
                raise InferAnswerInvalid(f"An output of the handler's answer has no {', '.join(missing)}.")
        try:
            return self._message(item, outputs)
        except (struct.error, TypeError, ValueError, OverflowError) as error:
            raise InferAnswerInvalid(f"An output does not fit its datatype: {error}") from error

    def _message(self, item: Document, outputs: Sequence[Document]) -> bytes:
        named = {**self._names, **{key: item[key] for key in self._names if item.get(key)}}
        pieces = [text_field(number, str(named[key])) for number, key in enumerate(named, 1)]
        pieces += _parameters(4, item)
        # The protocol has no contents for some types, and no mixture of both forms.
        is_raw = self._is_raw or any(not _contents_of(output) for output in outputs)
        raw: list[bytes] = []
        for output in outputs:
            head = [
                text_field(1, str(output["name"])),
                text_field(2, str(output["datatype"])),
                length_field(3, packed_varints(map(int, _shape(output)))),
                *_parameters(4, output),
            ]
            if is_raw:
                raw.append(length_field(6, _raw(output)))
            else:
                head.append(length_field(5, _typed(output)))
            pieces.append(length_field(5, b"".join(head)))
        return b"".join([*pieces, *raw])


def _contents_of(output: Document) -> int:
    datatype = output["datatype"]
    if datatype not in ELEMENTS:
        raise ValueError(f"{datatype} is no datatype of the protocol")
    return ELEMENTS[str(datatype)].contents


def _shape(output: Document) -> Sequence[Any]:
    shape = output["shape"]
    if not isinstance(shape, list | tuple):
        raise ValueError("a shape is no list")
    return shape


def _raw(output: Document) -> bytes:
    """Return elements as bytes; an envelope has made them already."""
    data, datatype = output["data"], str(output["datatype"])
    if isinstance(data, bytes | bytearray):
        return bytes(data)
    flat = flatten(data)
    if datatype == BYTES:
        return b"".join([_LENGTH.pack(len(each)) + each for each in map(_bytes, flat)])
    if datatype == BFLOAT:
        return b"".join([struct.pack("<f", each)[2:] for each in flat])
    return struct.pack(f"<{len(flat)}{ELEMENTS[datatype].code}", *flat)


def _typed(output: Document) -> bytes:
    """Return ``InferTensorContents`` with the elements."""
    flat: list[Any] = flatten(output["data"])
    field, code = ELEMENTS[str(output["datatype"])]
    if not code:
        return b"".join([length_field(field, _bytes(each)) for each in flat])
    packed = struct.pack(f"<{len(flat)}{code}", *flat)  # which checks their range, too
    return length_field(field, packed if code in "fd" else packed_varints(map(int, flat)))


def _bytes(item: object) -> bytes:
    """Return an element of BYTES; ``flatten`` has made texts of bytes."""
    text = item if isinstance(item, str) else json.dumps(item)
    return text.encode("utf-8", "surrogateescape")


def _parameters(number: int, owner: Document) -> list[bytes]:
    """Return the entries of a map of ``InferParameter``; values of other types are left out."""
    parameters = owner.get("parameters")
    entries = []
    for name, value in parameters.items() if isinstance(parameters, dict) else ():
        if isinstance(value, bool):
            choice = varint_field(1, value)
        elif isinstance(value, int) and -(1 << 63) <= value < 1 << 63:
            choice = varint_field(2, value)
        elif isinstance(value, float):
            choice = varint(4 << 3 | 1) + struct.pack("<d", value)
        elif isinstance(value, str):
            choice = length_field(3, value.encode("utf-8", "replace"))
        else:
            continue
        entries.append(length_field(number, text_field(1, str(name)) + length_field(2, choice)))
    return entries
