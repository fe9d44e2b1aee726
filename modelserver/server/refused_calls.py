"""The log lines of the start that say what this system refuses, and what is done without it."""

from __future__ import annotations

from collections.abc import Iterator

from modelserver.protocol.fence import IS_SUPPORTED, find_fence
from modelserver.system.exit_descriptor import has_pidfd


def refused_calls(has_shared_memory: bool) -> Iterator[str]:
    """
    Say of each refused system call which way is taken without it.

    :param has_shared_memory: memory for large bodies could be made.
    """
    if not has_pidfd():
        yield (
            "This system refuses pidfd_open (as Linux before 5.3 or a container): threads wait for the "
            "ends of processes, and workers are spawned rather than forked."
        )
    if not has_shared_memory:
        yield (
            "This system refuses memfd_create (as some containers do): large bodies go to workers through "
            "their sockets."
        )
    if IS_SUPPORTED and find_fence() is None:
        yield (
            "This system refuses membarrier (as Linux before 4.16 or a container): workers ask the kernel "
            "before each call that was sent to them ahead."
        )
