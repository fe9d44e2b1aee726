"""
A memory fence between two processes for which one of them alone pays: the system call ``membarrier``.

A processor may read one word before the word that it has written earlier is seen by others. Two that tell
each other something in this way need a fence each; here the side that is seldom heard has the kernel make
it for both (``MEMBARRIER_CMD_GLOBAL_EXPEDITED``, Linux 4.16, membarrier(2)): each thread of a process that
has registered either runs through a fence before the call returns, or does not run.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable
from functools import cache

_NUMBER = 324
"""Of the system call on x86-64; in Linux, arch/x86/entry/syscalls."""
IS_SUPPORTED = os.uname().machine == "x86_64" and struct.calcsize("P") == 8
"""Elsewhere, what is written in one order may be seen in another: more would be needed than this fence."""
_QUERY, _GLOBAL_EXPEDITED, _REGISTER_GLOBAL_EXPEDITED = 0, 2, 4

Fence = Callable[[], bool]
"""Makes the fence, for the caller and all that have registered; returns whether it could."""


@cache
def find_fence() -> Fence | None:
    """Return what makes the fence; None where this system has none, or refuses it."""
    call = _system_call()
    if call is None:
        return None
    wanted = _GLOBAL_EXPEDITED | _REGISTER_GLOBAL_EXPEDITED
    if call(_QUERY) & wanted != wanted or call(_GLOBAL_EXPEDITED) != 0:
        return None
    return lambda: call(_GLOBAL_EXPEDITED) == 0


def register() -> bool:
    """Have the fences of others be those of this process, too; return whether that could be had."""
    call = _system_call()
    return call is not None and call(_REGISTER_GLOBAL_EXPEDITED) == 0


def _system_call() -> Callable[[int], int] | None:
    if not IS_SUPPORTED:
        return None
    try:
        system_call = ctypes.CDLL(None).syscall
    except (OSError, AttributeError):
        return None

    def call(command: int) -> int:
        answer = int(system_call(_NUMBER, command, 0, 0))
        return max(answer, 0) if command == _QUERY else answer

    return call
