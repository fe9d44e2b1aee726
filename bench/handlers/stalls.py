"""Counts its runs in the byte of a shared file that the request names, and stalls now and then."""

from __future__ import annotations

import mmap
import os
import random
import time
from typing import Any

FILE = "STALLS_FILE"
"""The variable with the path of the file: one byte for each job, which is how often it was run."""
_runs: list[mmap.mmap] = []


def handle(data: list[dict[str, Any]] | None, context: object) -> list[bytes] | None:
    """Add one to the byte of each request of the batch; one call in a thousand takes up to 20 ms."""
    if not _runs:
        with open(os.environ[FILE], "r+b") as file:
            _runs.append(mmap.mmap(file.fileno(), 0))
    if data is None:
        return None
    for row in data:
        place = int(row["body"])
        _runs[0][place] = min(255, _runs[0][place] + 1)
    if random.random() < 0.001:
        time.sleep(random.random() * 0.02)
    return [b"ok"] * len(data)
