"""What ``/proc`` tells of the children of this process, those that it has inherited included."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_SET_CHILD_SUBREAPER = 36
"""Of prctl(2)."""


def adopt_orphans() -> bool:
    """
    Become the parent of every descendant whose own parent ends; returns whether the system agreed.

    Process 1 of a container is that already.
    """
    if os.getpid() == 1:
        return True
    try:
        return bool(ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False


def children() -> list[int]:
    """List the children of this process that its main thread has started or inherited."""
    me = os.getpid()
    try:
        return [int(pid) for pid in Path(f"/proc/{me}/task/{me}/children").read_text().split()]
    except (OSError, ValueError):
        return []


def variable_of(pid: int, name: str) -> str | None:
    """Read a variable of the environment that a process's program was started with; None without one."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return None
    beginning = f"{name}=".encode()
    for entry in environment.split(b"\0"):
        if entry.startswith(beginning):
            return entry[len(beginning) :].decode("utf-8", "replace")
    return None
