"""When buffered log lines are written: at once while they are few, else together with others."""

from __future__ import annotations

from attrs import field

from modelserver.language.attributes import define

LONGEST_WAIT = 0.04
"""Seconds that a line may wait for others."""
_EVERY = 0.005
"""Seconds after which one more flush may be made at once."""
_MOST, _LEAST = 8.0, -16.0
"""Flushes that may be made at once after a silence; what has to pass after many lines before there is one."""
_LINES = 16
"""Lines of a flush that count as one: those of a request, with its metrics."""


@define
class FlushPace:
    """
    Decides how long lines wait for others.

    Whoever has an answer, and then reads the log, is to find the line there, as with the peers, which write
    each line by itself. Where lines come fast, that would cost requests more than it is worth.

    Times are the clock's (monotonic) seconds.
    """

    _left: float = field(default=_MOST, init=False)
    _at: float = field(default=0.0, init=False)

    def delay(self, now: float) -> float:
        """Return the seconds until the lines that begin to wait now are to be written."""
        self._left = min(_MOST, self._left + (now - self._at) / _EVERY)
        self._at = now
        return 0.0 if self._left >= 1 else LONGEST_WAIT

    def flushed(self, lines: int) -> None:
        """Note that so many lines were written."""
        self._left = max(_LEAST, self._left - max(1, lines // _LINES))
