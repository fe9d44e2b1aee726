"""A descriptor that tells of the end of a child process."""

from __future__ import annotations

import os
from threading import Thread


def has_pidfd() -> bool:
    """Whether the system hands out descriptors of processes: Linux before 5.3 and some sandboxes do not."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


def exit_descriptor(pid: int) -> int:
    """
    Open a descriptor that can be read once the child process ``pid`` has ended, reaped or not.

    The caller closes it, and reaps the process. Where the kernel has no descriptors of processes, a thread
    waits for the process, without reaping it, and closes the other end of a pipe.

    :raises ProcessLookupError: there is no such process.
    :raises OSError: there are no descriptors left.
    """
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        raise
    except (AttributeError, OSError):
        pass
    readable, writable = os.pipe()
    Thread(target=_close_at_end, args=(pid, writable), name=f"end of {pid}", daemon=True).start()
    return readable


def _close_at_end(pid: int, writable: int) -> None:
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    except ChildProcessError:
        pass  # somebody has reaped it
    finally:
        os.close(writable)
