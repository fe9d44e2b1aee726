"""The messages with which the peers' workers answer, for handlers and tests that make them themselves."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from modelserver.child.data.answers import encode

if TYPE_CHECKING:
    from modelserver.child.context import Context, RequestProcessor

_INT = struct.Struct(">i")
END_OF_LIST = _INT.pack(-1)
STREAM_HEADER = "ts_stream_next"
UNSUPPORTED = "Unsupported model output data type."


def _counted(data: str | bytes | bytearray) -> bytes:
    raw = data.encode() if isinstance(data, str) else data
    return _INT.pack(len(raw)) + raw


def encode_response_headers(resp_hdr_map: Mapping[str, str]) -> bytes:
    """The headers of one answer: their number, then each name and value after its length."""
    pairs = [_counted(text) for pair in resp_hdr_map.items() for text in pair]
    return _INT.pack(len(resp_hdr_map)) + b"".join(pairs)


def create_load_model_response(code: int, message: str) -> bytearray:
    """The answer to a request to load a model."""
    return bytearray(_INT.pack(code) + _counted(message) + END_OF_LIST)


def create_predict_response(
    ret: Sequence[object] | None,
    req_id_map: Mapping[int, str],
    message: str,
    code: int,
    context: Context | None = None,
    ts_stream_next: bool = False,
) -> bytearray:
    """
    The answer to a batch.

    :param ret: an item for each request; None if the batch failed, for which every body is ``error``.
    :param ts_stream_next: more parts follow.
    """
    try:
        bodies = {place: b"error" if ret is None else encode(ret[place]) for place in req_id_map}
    except (TypeError, ValueError):
        return create_predict_response(None, req_id_map, UNSUPPORTED, 503, context)
    return bytearray(b"".join(_pieces(bodies, req_id_map, message, code, context, ts_stream_next)))


def _pieces(
    bodies: Mapping[int, bytes | bytearray],
    ids: Mapping[int, str],
    message: str,
    code: int,
    context: Context | None,
    more: bool,
) -> Iterable[bytes]:
    yield _INT.pack(code) + _counted(message)
    for place, request_id in ids.items():
        yield _counted(request_id)
        processors = context.request_processor if context is not None else []
        yield _head(processors[place] if place < len(processors) else None, code, more)
        yield _counted(bodies[place])
    yield END_OF_LIST


def _head(processor: RequestProcessor | None, code: int, more: bool) -> bytes:
    if processor is None:
        return _counted("") + _INT.pack(code) + _counted("") + encode_response_headers({})
    headers = {**processor.get_response_headers(), **({STREAM_HEADER: "true"} if more else {})}
    content_type = headers.pop("content-type", "")
    status = processor.get_response_status_code() if code == 200 else code
    phrase = processor.get_response_status_phrase() or ""
    return _counted(content_type) + _INT.pack(status) + _counted(phrase) + encode_response_headers(headers)
