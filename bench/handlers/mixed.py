"""Answers at once, but for a body that begins with ``slow``, which takes 100 ms."""

from __future__ import annotations

import time
from typing import Any

SECONDS = 0.1
SLOW = b"slow"


def handle(data: list[dict[str, Any]] | None, context: object) -> list[str] | None:
    """Answer ``OK`` for each request."""
    if data is None:
        return None
    for row in data:
        if bytes(row["body"][: len(SLOW)]) == SLOW:
            time.sleep(SECONDS)
    return ["OK"] * len(data)
