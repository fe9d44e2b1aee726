"""How much of what a worker prints is logged: the limits, and what is left of them in the present second."""

from __future__ import annotations

from collections.abc import Callable

from attrs import field

from modelserver.language.attributes import define, frozen


@frozen
class OutputLimits:
    """
    What one stream of a worker may log.

    :param longest_line: bytes of a line; what follows, up to its end, is dropped.
    :param lines: lines in a second.
    :param size: bytes in a second: a worker that prints without end must not stop the server.
    """

    longest_line: int = 128 << 10
    lines: int = 10_000
    size: int = 8 << 20


@define(eq=False)
class OutputBudget:
    """
    What a stream may still log in the present second.

    :param seconds: the time; where it stands still at 0, there is no limit.
    :param dropped: lines that were refused in this second.
    """

    limits: OutputLimits
    seconds: Callable[[], float]
    dropped: int = field(default=0, init=False)
    _began: float = field(default=0.0, init=False)
    _lines: int = field(default=0, init=False)
    _size: int = field(default=0, init=False)

    def renew(self) -> str:
        """Begin with another second, if this one is over; return what is to be said of the old one."""
        now = self.seconds()
        if now and now - self._began < 1.0:
            return ""
        told = self.settle()
        self._began = now
        self._lines, self._size = self.limits.lines, self.limits.size
        return told

    def settle(self) -> str:
        """Return what is to be said of lines that were dropped, and that nobody has said yet."""
        dropped, self.dropped = self.dropped, 0
        return f"({dropped} lines were dropped: {self.reason})" if dropped else ""

    @property
    def left(self) -> float:
        """Seconds until the present second is over."""
        return max(0.0, self._began + 1.0 - self.seconds())

    @property
    def lines(self) -> int:
        """Lines that may still be logged."""
        return self._lines if self._size > 0 else 0

    def take(self, size: int) -> bool:
        """Count one line of so many bytes; whether it may be logged."""
        if self._lines <= 0 or self._size <= 0:
            return False
        self._lines -= 1
        self._size -= size
        return True

    @property
    def reason(self) -> str:
        """The limit that was met."""
        if self._lines <= 0:
            return f"more than {self.limits.lines} in a second"
        return f"more than {self.limits.size} bytes in a second"
