"""How the C library keeps what this process has freed."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt(3)."""
LARGEST_BLOCK = 32 << 20
"""Bytes of a block up to which it comes from memory that was freed before."""
MOST_KEPT = 64 << 20
"""Bytes of freed memory that are kept for the next body."""


def keep_freed_memory(
    environment: Mapping[str, str], mallopt: Callable[[int, int], object] | None = None
) -> bool:
    """
    Keep some of what was freed for the next body, unless the environment says otherwise; return whether.

    By itself glibc gives a body of 100 kB or 1 MB back to the kernel, which clears it and hands it out again
    page by page: a tenth of what such a request costs, on virtual machines more.

    :param environment: this process's; names that begin with ``MALLOC_``, and ``GLIBC_TUNABLES``, are orders.
    :param mallopt: None: the C library's, if it has one.
    """
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in environment):
        return False
    mallopt = mallopt or getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST_BLOCK)) and bool(mallopt(M_TRIM_THRESHOLD, MOST_KEPT))


def give_back_freed_memory(trim: Callable[[int], object] | None = None) -> bool:
    """
    Give what was freed back to the kernel; return whether there was anything. Blocks for some milliseconds.

    :param trim: None: malloc_trim(3), if the C library has it.
    """
    trim = trim or getattr(ctypes.CDLL(None), "malloc_trim", None)
    return trim is not None and bool(trim(0))
