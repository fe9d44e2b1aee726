"""How fast requests come, as far as it shows: a change counts at once where chance does not explain it."""

from __future__ import annotations

from collections import deque
from math import sqrt

from attrs import define, field

USUAL, LONGEST = 2.0, 60.0
"""Seconds over which the rate is taken, and those for handlers that take very long."""
CALLS = 20.0
"""The rate is taken over as many calls of the handler as this, one after the other."""
PARTS = (0.1, 0.2, 0.4)
"""The last parts of that time in which a jump is looked for."""
SURPRISE = 5.0
"""Standard deviations by which a part must exceed what the whole makes expect."""
HALF = 0.5
"""The last part of that time whose rate counts as far as it is surely higher: for a load that rises."""
LIKELY = 1.5
"""Standard deviations that the true rate may well be above the one that was seen."""


def window(call: float) -> float:
    """Return the seconds over which the rate is taken where a call of the handler takes ``call``."""
    return min(LONGEST, max(USUAL, CALLS * call))


@define(eq=False)
class Arrivals:
    """Remembers how many requests had come at which moments of the last minute."""

    _marks: deque[tuple[float, int]] = field(factory=deque, init=False)

    def note(self, now: float, arrived: int) -> None:
        """
        Remember how many have come so far.

        :param now: the clock's (monotonic) seconds.
        """
        self._marks.append((now, arrived))
        while len(self._marks) > 2 and now - self._marks[1][0] >= LONGEST:
            self._marks.popleft()

    def count(self, seconds: float) -> int:
        """Return how many came in the last ``seconds``, as far as is remembered."""
        if not self._marks:
            return 0
        now, arrived = self._marks[-1]
        before = arrived
        for moment, so_far in reversed(self._marks):
            before = so_far
            if now - moment >= seconds - 1e-6:
                break
        return arrived - before

    def rate(self, call: float) -> float:
        """Return the requests of a second, now: those of the window, or of its last part if they jumped."""
        whole = window(call)
        usual = self.count(whole) / whole
        lately = self.count(HALF * whole)
        rate = max(usual, (lately - sqrt(lately)) / (HALF * whole))
        for part in PARTS:
            seconds = part * whole
            count, expected = self.count(seconds), usual * seconds
            if count > expected + SURPRISE * sqrt(expected + 1):
                rate = max(rate, count / seconds)
        return rate

    def upper_rate(self, call: float) -> float:
        """Return a rate that is not exceeded now, but for chances that are small."""
        whole = window(call)
        count = self.count(whole)
        return max(self.rate(call), (count + LIKELY * sqrt(count)) / whole)
