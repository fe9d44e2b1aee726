"""Requests for tests of handlers, as clients send them: raw, JSON, forms, tensors."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from typing import Protocol
from urllib.parse import quote, urlencode

from attrs import field

from modelserver.language.attributes import frozen

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
_DATATYPES = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
}


@frozen
class ModelRequest:
    """
    One request to a model.

    :param content_type: decides how the body is decoded; None: the client names none.
    :param headers: others, as the handler reads them with ``context.get_request_header``.
    :param query: parameters of the URL; each is a field of the handler's row, too.
    """

    body: bytes = b""
    content_type: str | None = None
    headers: Mapping[str, str] = field(factory=dict)
    query: Mapping[str, str] = field(factory=dict)

    @property
    def all_headers(self) -> Mapping[str, str]:
        """The headers as they are sent."""
        return {**({} if self.content_type is None else {"content-type": self.content_type}), **self.headers}

    @property
    def query_string(self) -> str:
        """What follows the path of the URL."""
        return f"?{urlencode(self.query)}" if self.query else ""


class Array(Protocol):
    """What is used of a numpy array (a torch tensor has it as ``.numpy()``)."""

    @property
    def dtype(self) -> object: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    def tolist(self) -> object: ...


def raw(body: bytes | str, content_type: str | None = "application/octet-stream") -> ModelRequest:
    """Return a request with bytes or text, as ``curl -T FILE`` sends them."""
    return ModelRequest(body.encode() if isinstance(body, str) else body, content_type)


def json_body(value: object) -> ModelRequest:
    """
    Return a request with JSON.

    :raises TypeError: JSON has no such value.
    """
    return ModelRequest(json.dumps(value).encode(), JSON)


def form(fields: Mapping[str, str]) -> ModelRequest:
    """Return a request with the fields of a form, as ``curl -d`` sends them."""
    return ModelRequest(urlencode(fields).encode(), FORM)


def multipart(
    fields: Mapping[str, str] | None = None,
    files: Mapping[str, bytes | tuple[str, bytes, str]] | None = None,
) -> ModelRequest:
    """
    Return a request with a multipart form, as ``curl -F`` sends it.

    :param files: the bytes of each, or its file name, bytes and content type.
    """
    boundary = uuid.uuid4().hex
    parts = [_part(boundary, name, value.encode()) for name, value in (fields or {}).items()]
    for name, file in (files or {}).items():
        file_name, content, kind = (
            (name, file, "application/octet-stream") if isinstance(file, bytes) else file
        )
        parts.append(_part(boundary, name, content, file_name, kind))
    body = b"".join(parts) + f"--{boundary}--\r\n".encode()
    return ModelRequest(body, f"multipart/form-data; boundary={boundary}")


def infer(inputs: Mapping[str, Array | Iterable[str]], id: str | None = None) -> ModelRequest:
    """
    Return a request of the Open Inference Protocol (V2), in JSON; its envelope is ``kservev2``.

    :param inputs: numpy arrays by name, of any shape; or lists of text, which are of type BYTES.
    :raises ValueError: an array is of a type that the protocol has not.
    """
    document: dict[str, object] = {"inputs": [_tensor(name, value) for name, value in inputs.items()]}
    if id is not None:
        document["id"] = id
    return json_body(document)


def _tensor(name: str, value: Array | Iterable[str]) -> dict[str, object]:
    dtype = getattr(value, "dtype", None)
    if dtype is None:
        texts = [str(text) for text in value]  # type: ignore[union-attr]  # it has no dtype: it is a list
        return {"name": name, "shape": [len(texts)], "datatype": "BYTES", "data": texts}
    datatype = _DATATYPES.get(str(getattr(dtype, "name", dtype)).rpartition(".")[2])
    if datatype is None:
        raise ValueError(f"The Open Inference Protocol has no datatype for {dtype}.")
    shape: list[int] = [int(size) for size in value.shape]  # type: ignore[union-attr]  # what has a dtype has it
    data = _flat(value.tolist())  # type: ignore[union-attr]  # likewise
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}


def _flat(data: object) -> list[object]:
    """Return nested lists as one, row by row."""
    if not isinstance(data, list):
        return [data]
    return [value for each in data for value in _flat(each)]


def _part(boundary: str, name: str, content: bytes, file_name: str | None = None, kind: str = "") -> bytes:
    head = f'--{boundary}\r\ncontent-disposition: form-data; name="{quote(name)}"'
    if file_name is not None:
        head += f'; filename="{quote(file_name)}"\r\ncontent-type: {kind}'
    return head.encode() + b"\r\n\r\n" + content + b"\r\n"
