"""What the server is told of an exception's traceback."""

from __future__ import annotations

import traceback

from modelserver.protocol.plain_text import without_escapes

KEPT_LINES = 30
"""Lines that the server is told: the last ones."""


def last_lines(error: BaseException) -> list[str]:
    """Return the last lines of an exception's traceback, without what would colour a terminal."""
    return without_escapes("".join(traceback.format_exception(error))).splitlines()[-KEPT_LINES:]
