"""How bytes travel to a peer and back, where it does not take them as they are."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable

from attrs import frozen


def _same(data: bytes) -> bytes:
    return data


@frozen
class Format:
    """
    A way to write a request and to read an answer.

    :param name: as the tables call it.
    """

    name: str
    content_type: str
    encode: Callable[[bytes], bytes] = _same
    decode: Callable[[bytes], bytes] = _same


def _text(data: bytes) -> str:
    return b64encode(data).decode()


def _tensor(body: bytes) -> bytes:
    tensor = {
        "name": "x",
        "shape": [1],
        "datatype": "BYTES",
        "parameters": {"content_type": "base64"},
        "data": [_text(body)],
    }
    return json.dumps({"inputs": [tensor]}).encode()


def _of_tensor(answer: bytes) -> bytes:
    return b64decode(json.loads(answer)["outputs"][0]["data"][0])


RAW = Format("raw bytes", "application/octet-stream")
UNKNOWN = Format("raw bytes", "application/x-bytes")
"""For a server that takes an octet stream for JSON, but leaves types that it does not know alone."""
JSON_STRING = Format(
    "base64 in JSON", "application/json", lambda body: json.dumps(_text(body)).encode(), b64decode
)
JSON_ARRAY = Format(
    "base64 in JSON",
    "application/json",
    lambda body: json.dumps({"texts": [_text(body)]}).encode(),
    lambda answer: b64decode(json.loads(answer)[0]),
)
OPEN_INFERENCE = Format("base64 in JSON", "application/json", _tensor, _of_tensor)
"""BYTES of the Open Inference Protocol (V2)."""
