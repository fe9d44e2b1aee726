"""The state of a process, as ``/proc`` tells it: proc(5)."""

from __future__ import annotations

import os
from pathlib import Path

_USER, _SYSTEM, _STARTED = 11, 12, 19
"""Places among the fields behind the state: the first is the parent's id."""


def start_of(pid: int) -> int | None:
    """
    Tell when a process was started, in clock ticks since boot.

    :returns: None if it has ended, reaped or not.
    """
    fields = _fields(pid)
    return None if fields is None else int(fields[_STARTED - 1])


def processor_seconds(pid: int) -> float | None:
    """
    Tell what processors have spent on a process, all its threads together, in seconds.

    :returns: None if it has ended, reaped or not.
    """
    fields = _fields(pid)
    if fields is None:
        return None
    return (int(fields[_USER - 1]) + int(fields[_SYSTEM - 1])) / os.sysconf("SC_CLK_TCK")


def _fields(pid: int) -> list[str] | None:
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(") ")[2].split()
    except (OSError, ValueError):
        return None
    return None if state in "ZX" else fields
