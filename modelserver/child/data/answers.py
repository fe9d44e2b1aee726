"""From what a handler returned or raised to the rows of an answer frame."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from typing import Protocol

from modelserver.child.data.infer_answer import InferAnswerInvalid
from modelserver.child.failures import is_out_of_resources
from modelserver.child.tracebacks import shortened, text_of
from modelserver.errors import ResponseTooLarge
from modelserver.jobs import Answer, answer_of
from modelserver.protocol import frames
from modelserver.protocol.answer_head import EMPTY, OWN, check_head
from modelserver.protocol.item_errors import error_answer, too_large
from modelserver.protocol.plain_text import without_escapes

ReplyRow = tuple[int, Answer]

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
POSSIBLE = range(100, 1000)
"""Codes that a frame can carry to a client; another one of an exception is 500."""


class AnswerTraits(Protocol):
    """
    What a handler set for one request of its batch.

    ``changed``: whether it set anything. ``encode``: makes the body of the answer; None: as it is usual.
    """

    @property
    def changed(self) -> bool: ...
    @property
    def encode(self) -> Callable[[object], bytes] | None: ...
    def get_response_headers(self) -> Mapping[str, str]: ...
    def get_response_status_code(self) -> int: ...
    def get_response_status_phrase(self) -> str | None: ...


def error_row(code: int, message: str, error: BaseException | None = None) -> ReplyRow:
    """An item that failed."""
    exception, text = ("", "") if error is None else (type(error).__name__, text_of(error))
    told = error_answer(code, without_escapes(shortened(message)), exception, without_escapes(text))
    return frames.ERROR, Answer(code, b"", told)


def refused_row(message: str) -> ReplyRow:
    """An item whose request the handler does not get to see, by its client's fault."""
    return frames.ERROR | frames.REFUSED, Answer(400, b"", error_answer(400, message))


def too_large_row(size: int, largest: int) -> ReplyRow:
    """An item whose answer has more bytes than it may."""
    return frames.ERROR | frames.TOO_LARGE, Answer(500, b"", too_large(size, largest))


def failed_rows(error: BaseException, count: int) -> list[ReplyRow]:
    """All items of a batch whose handler raised."""
    return [error_row(*verdict(error), error)] * count


def verdict(error: BaseException) -> tuple[int, str]:
    """The code and message that the peers give to what a handler raised."""
    code = getattr(error, "error_code", None)
    if any(base.__name__ == "PredictionException" for base in type(error).__mro__) and isinstance(code, int):
        code = code if code in POSSIBLE else 500
        message = getattr(error, "message", error)
        return code, text_of(message) if isinstance(message, BaseException) else str(message)
    if is_out_of_resources(error):
        return 507, "Out of resources"
    return 503, "Prediction failed"


def answer_rows(result: object, responders: Sequence[AnswerTraits], largest: int) -> list[ReplyRow]:
    """
    The rows for what a handler returned; an exception in its list is the error of that request.

    :param largest: bytes that one answer may have (``max_response_size``).
    """
    if not isinstance(result, list):
        return [error_row(503, "Invalid model predict output")] * len(responders)
    if len(result) != len(responders):
        return [error_row(503, "number of batch response mismatched")] * len(responders)
    if len(result) == 1:
        return [_row(result[0], responders[0], largest)]
    return [_row(item, responder, largest) for item, responder in zip(result, responders, strict=True)]


def part_rows(parts: Sequence[object], responders: Sequence[AnswerTraits], largest: int) -> list[ReplyRow]:
    """
    The rows for one part of a streamed answer for each request.

    :raises ValueError: there is not one part for each request, or one cannot be serialized.
    """
    if len(parts) != len(responders):
        raise ValueError(f"{len(parts)} parts for {len(responders)} requests")
    rows = [_row(part, responder, largest) for part, responder in zip(parts, responders, strict=True)]
    for flags, answer in rows:
        if flags & frames.ERROR:
            raise ValueError(_message_of(flags, answer))
    return rows


def part_body(part: object, responder: AnswerTraits, largest: int) -> bytes | bytearray:
    """
    Return the body of a further part of a streamed answer, whose head has left.

    :raises ValueError: it cannot be serialized, or is too large.
    """
    try:
        body: bytes | bytearray
        if responder.encode is not None:
            body = responder.encode(part)
        else:  # most parts are a text: ``encode``, without the call
            body = part.encode() if type(part) is str else encode(part)
        if len(body) <= largest:
            return body
    except Exception:  # the row tells of it
        pass
    flags, answer = _row(part, responder, largest)
    raise ValueError(_message_of(flags, answer))


def _message_of(flags: int, failed: Answer) -> str:
    told = json.loads(bytes(failed.body))
    return str(ResponseTooLarge(*told)) if flags & frames.TOO_LARGE else str(told[1])


def _row(item: object, responder: AnswerTraits, largest: int) -> ReplyRow:
    body: bytes | bytearray
    try:
        if responder.encode is not None:
            body = responder.encode(item)
        elif type(item) is bytes:  # most answers are bytes or a text: ``encode``, without the call
            body = item
        else:
            body = item.encode() if type(item) is str else encode(item)
    except InferAnswerInvalid as error:
        return error_row(500, str(error), error)
    except Exception as error:
        if isinstance(item, Exception):  # which the handler, or who calls it, has put in an answer's place
            return error_row(*verdict(item), item)
        return error_row(503, "Unsupported model output data type.", error)
    if len(body) > largest:
        return too_large_row(len(body), largest)
    if not responder.changed:
        return 0, answer_of((200, b"", body))
    try:
        status, head = _head(responder)
    except ValueError as error:
        return error_row(500, str(error))
    return 0, Answer(status, head, b"" if status in EMPTY else body)


def encode(item: object) -> bytes | bytearray:
    """
    An item of a handler's list as bytes.

    :raises TypeError, ValueError: it cannot be serialized.
    """
    if isinstance(item, str):
        return item.encode()
    if isinstance(item, (bytes, bytearray)):
        return item
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(item, torch.Tensor):
        buffer = BytesIO()
        torch.save(item, buffer)
        return buffer.getvalue()
    return json.dumps(item, indent=2).encode()


def _head(responder: AnswerTraits) -> tuple[int, bytes]:
    headers = responder.get_response_headers()
    code = responder.get_response_status_code()
    phrase = responder.get_response_status_phrase() or ""
    try:
        status = int(code)
    except (TypeError, ValueError, OverflowError):
        status = 0
    if not 200 <= status <= 999 or not _is_text(phrase, _VALUE):
        raise ValueError(f"The handler set an illegal status: {code} {phrase!r}")
    lines = [phrase]
    for name, value in headers.items():
        if not _is_text(name, _NAME) or not _is_text(value, _VALUE):
            raise ValueError(f"The handler set an illegal header: {name!r}")
        if name.lower() not in OWN:
            lines.append(f"{name}: {value}")
    return status, check_head(status, "\r\n".join([*lines, ""]).encode("latin-1"))


def _is_text(value: object, allowed: re.Pattern[str]) -> bool:
    return isinstance(value, str) and allowed.fullmatch(value) is not None
