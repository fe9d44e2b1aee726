"""Takes as long as its input says, in seconds."""

from __future__ import annotations

import time
from typing import Any


def handle(data: list[dict[str, Any]] | None, context: object) -> list[str] | None:
    """Sleep for each request."""
    if data is None:
        return None
    for row in data:
        time.sleep(float(bytes(row["body"])))
    return ["OK"] * len(data)
