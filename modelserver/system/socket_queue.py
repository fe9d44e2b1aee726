"""What the kernel holds for the other end of a socket."""

from __future__ import annotations

import fcntl
import sys
import termios

_NUMBER = bytes(4)


def on_their_way(descriptor: int) -> int:
    """Return how many bytes were written that the other end has not acknowledged; 0 where nobody can tell."""
    try:
        return int.from_bytes(fcntl.ioctl(descriptor, termios.TIOCOUTQ, _NUMBER), sys.byteorder)
    except (OSError, ValueError):  # closed, or no such socket
        return 0
