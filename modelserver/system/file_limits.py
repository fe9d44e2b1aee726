"""Raises the limit of file descriptors of this process."""

from __future__ import annotations

import resource


def allowed_descriptors(wanted: int) -> int:
    """Raise the soft limit to ``wanted``, or to the hard limit if that is less; return the new soft limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    best = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if best > soft:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (best, hard))
        except (OSError, ValueError):
            return soft
    return max(best, soft)
