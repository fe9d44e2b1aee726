"""Raises the limit of file descriptors of this process."""

from __future__ import annotations

import resource

from modelserver.language.attributes import frozen


@frozen
class TooFewDescriptors(Exception):
    """
    The process may open fewer files than it needs.

    :param allowed: how many it may.
    :param needed: how many it needs at least.
    """

    allowed: int
    needed: int

    def __str__(self) -> str:
        return (
            f"This process may open {self.allowed} files and connections, and needs {self.needed} at least: "
            f"raise the limit (ulimit -n {self.needed}, or LimitNOFILE of the service)."
        )


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
