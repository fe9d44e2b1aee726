"""Errors among a worker's answers: what stands in the place of a body."""

from __future__ import annotations

import json
from enum import IntFlag

from modelserver.errors import BadRequest, PredictionFailed, ResponseTooLarge, ServingError


class ItemFlag(IntFlag):
    """
    Traits of an item of ANSWERS or a PART.

    ``REFUSED``: an error that is the client's fault. ``TOO_LARGE``: the answer has more bytes than it may.
    ``TIMED``: an answer, before whose head stands what was done when in its call, as in ``TIMES``.
    """

    SHARED = 1
    TIMED = 2
    ERROR = 16
    REFUSED = 32
    TOO_LARGE = 64


def error_answer(code: int, message: str, exception: str = "", text: str = "") -> bytes:
    """The body of an item whose row has the flag ERROR."""
    return json.dumps([code, message, exception, text]).encode()


def too_large(size: int, limit: int) -> bytes:
    """The body of an item whose row has the flags ERROR and TOO_LARGE."""
    return json.dumps([size, limit]).encode()


def read_error(flags: int, body: bytes) -> ServingError:
    """
    Return the error of an item.

    :raises ValueError: the body is none.
    """
    facts = json.loads(body)
    if flags & ItemFlag.TOO_LARGE:
        size, limit = facts
        return ResponseTooLarge(int(size), int(limit))
    code, message, exception, text = facts
    if flags & ItemFlag.REFUSED:
        return BadRequest(str(message))
    return PredictionFailed(int(code), str(message), str(exception), str(text))
