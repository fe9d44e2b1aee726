"""Takes 2 ms for a batch and a millisecond more for each 10 kB of its input, and burns no CPU."""

from __future__ import annotations

import time
from typing import Any

FIXED, EACH = 0.002, 1e-7
"""Seconds for a batch, and for a byte."""


def handle(data: list[dict[str, Any]] | None, context: object) -> list[str] | None:
    """Answer each request of the batch with its length, after a time that grows with the whole batch."""
    if data is None:
        return None
    sizes = [len(row.get("body") or row.get("data") or b"") for row in data]
    time.sleep(FIXED + EACH * sum(sizes))
    return [str(size) for size in sizes]
