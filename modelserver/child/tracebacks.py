"""What the server is told of an exception: its text, its traceback; whatever the exception is like."""

from __future__ import annotations

import traceback

from modelserver.protocol.plain_text import without_escapes

KEPT_LINES = 30
"""Lines that the server is told: the last ones."""
LONGEST = 64 * 1024
"""Characters of a text; of longer ones the middle is left out: an array's values, an answer of a server."""


def text_of(error: BaseException) -> str:
    """Return an exception's text, also of one that cannot make it: one more failure would end the worker."""
    try:
        return shortened(str(error))
    except BaseException as why:
        return f"({type(error).__name__} has no text: its __str__ raises {type(why).__name__})"


def shortened(text: str, longest: int = LONGEST) -> str:
    """Return a text as it is, or its beginning and its end, if it is longer than most are."""
    if len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]} ... ({len(text) - 2 * half} characters) ... {text[-half:]}"


def last_lines(error: BaseException) -> list[str]:
    """Return the last lines of an exception's traceback, without what would colour a terminal."""
    return without_escapes(whole_traceback(error)).splitlines()[-KEPT_LINES:]


def whole_traceback(error: BaseException) -> str:
    """Return what Python prints of an exception, if it is not longer than a log's record should be."""
    return shortened("".join(traceback.format_exception(error)), 2 * LONGEST)
