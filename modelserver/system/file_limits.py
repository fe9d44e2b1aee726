"""How many descriptors this process may have: raised to what is needed, as far as the system allows."""

from __future__ import annotations

import resource


def allowed_descriptors(wanted: int) -> int:
    """Raise the soft limit to ``wanted``, or as near as the hard limit is; returns what holds then."""
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
