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
    return bytearray(b"".join(_pieces(bodies, ret, req_id_map, message, code, context, ts_stream_next)))


def _pieces(
    bodies: Mapping[int, bytes | bytearray],
    ret: Sequence[object] | None,
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
        processor = processors[place] if place < len(processors) else None
        if processor is not None and context is not None:
            _tell_of_parts(processor, context, place, ret, more)
        yield _head(processor, code)
        yield _counted(bodies[place])
    yield END_OF_LIST


def _tell_of_parts(
    processor: RequestProcessor, context: Context, place: int, ret: Sequence[object] | None, more: bool
) -> None:
    """Say in a header whether more parts of the answer follow, where it has parts."""
    if more:
        processor.add_response_property(STREAM_HEADER, "true")
    elif context.stopping_criteria and ret is not None:
        is_over = context.stopping_criteria[place](ret[place])
        if is_over is not None:
            processor.add_response_property(STREAM_HEADER, "false" if is_over else "true")
    elif processor.get_response_headers().get(STREAM_HEADER) == "true":
        processor.add_response_property(STREAM_HEADER, "false")


def _head(processor: RequestProcessor | None, code: int) -> bytes:
    if processor is None:
        return _counted("") + _INT.pack(code) + _counted("") + encode_response_headers({})
    headers = dict(processor.get_response_headers())
    content_type = headers.pop("content-type", "")
    status = processor.get_response_status_code() if code == 200 else code
    phrase = processor.get_response_status_phrase() or ""
    return _counted(content_type) + _INT.pack(status) + _counted(phrase) + encode_response_headers(headers)
