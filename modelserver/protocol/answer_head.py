"""The head of a handler's answer: made by the worker, checked again by the server, and sent as it is."""

from __future__ import annotations

import re
from functools import lru_cache

LONGEST_HEAD = 16 * 1024
"""Bytes of a reason phrase and header lines together."""
MOST_REMEMBERED, LONGEST_REMEMBERED = 1024, 512
OWN = frozenset(
    (
        "connection",
        "content-length",
        "transfer-encoding",
        "x-request-id",
        "pragma",
        "cache-control",
        "expires",
    )
)
"""Headers that the server sets, whatever a handler says."""
BODILESS = frozenset((204, 304))
"""Statuses whose answers end with their head, and say nothing of a body's length."""
EMPTY = BODILESS | {205}
"""Statuses whose answers have no body, whatever the handler has returned or raised."""

_HEAD = re.compile(
    rb"[\t\x20-\x7e\x80-\xff]*\r\n(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\r\n)*"
)


class HeadInvalid(ValueError):
    """A head that would break the answer that it stands in, or the next."""


def check_head(status: int, block: bytes) -> bytes:
    """
    Return a head that may be sent.

    :param block: ``b""``, or the reason phrase, CRLF, and header lines that each end in CRLF.
    :raises HeadInvalid: it may not.
    """
    if not 200 <= status <= 999:
        raise HeadInvalid(f"an answer with the status {status}")
    if len(block) > LONGEST_HEAD:
        raise HeadInvalid(f"the head of an answer has {len(block)} bytes, more than {LONGEST_HEAD}")
    if block and not (_is_known_sound(block) if len(block) <= LONGEST_REMEMBERED else _is_sound(block)):
        raise HeadInvalid("the head of an answer holds what is no header, or a header that is not its own")
    return block


def _is_sound(block: bytes) -> bool:
    if _HEAD.fullmatch(block) is None:
        return False
    names = [line.partition(b":")[0].lower().decode("latin-1") for line in block.split(b"\r\n")[1:]]
    return OWN.isdisjoint(names)


# Most handlers send the same head again and again.
_is_known_sound = lru_cache(maxsize=MOST_REMEMBERED)(_is_sound)
