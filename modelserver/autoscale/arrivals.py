"""How fast requests come, as far as it shows: a change counts at once where chance does not explain it."""

from __future__ import annotations

from collections import deque
from math import sqrt

from attrs import field

from modelserver.language.attributes import define

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
TREND = 4.0
"""As many times the window is looked back at to see whether the load falls."""
SURELY = 3.0
"""Standard deviations by which the later half of that time must have brought less than the earlier."""


def window(call: float) -> float:
    """Return the seconds over which the rate is taken where a call of the handler takes ``call``."""
    return min(LONGEST, max(USUAL, CALLS * call))


@define(eq=False)
class Arrivals:
    """Remembers how many requests had come at which moments of the last minute."""

    _marks: deque[tuple[float, int]] = field(factory=deque, init=False)

    def note(self, now: float, arrived: int, was_asleep: bool = False) -> None:
        """
        Remember how many have come so far.

        :param now: the clock's (monotonic) seconds.
        :param was_asleep: nobody has looked for a while, since nothing came: what has come came just now.
        """
        just_now = now - PARTS[0] * USUAL
        if was_asleep and self._marks and self._marks[-1][0] < just_now:
            self._marks.append((just_now, self._marks[-1][1]))
        self._marks.append((now, arrived))
        while len(self._marks) > 2 and now - self._marks[1][0] >= LONGEST:
            self._marks.popleft()

    def count(self, seconds: float) -> tuple[int, float]:
        """
        Return how many came in the last ``seconds``, and in how many seconds they really came.

        Those are more where nobody looked at that moment: a late look must not make a jump of what came.
        """
        if not self._marks:
            return 0, seconds
        now, arrived = self._marks[-1]
        earlier = ((then, count) for then, count in reversed(self._marks) if now - then >= seconds - 1e-6)
        moment, before = next(earlier, self._marks[0])
        return arrived - before, max(seconds, now - moment)

    def rate(self, call: float) -> float:
        """Return the requests of a second, now: those of the window, or of its last part if they jumped."""
        whole = window(call)
        usual = self._mean(whole)
        lately, took = self.count(HALF * whole)
        rate = max(usual, (lately - sqrt(lately)) / took)
        for part in PARTS:
            count, seconds = self.count(part * whole)
            expected = usual * seconds
            if count > expected + SURPRISE * sqrt(expected + 1):
                rate = max(rate, count / seconds)
        return rate

    def upper_rate(self, call: float) -> float:
        """Return a rate that is not exceeded now, but for chances that are small."""
        count, seconds = self.count(window(call))
        return max(self.rate(call), (count + LIKELY * sqrt(count)) / seconds)

    def falling_rate(self, call: float) -> float | None:
        """
        Return the rate of a load that has surely fallen for a while, as it is by now; None for any other.

        What the window shows is the rate of its middle. A load that falls goes on meanwhile as it did, but no
        further than its last part shows.
        """
        whole = window(call)
        span = min(LONGEST, TREND * whole)
        if not self._marks or self._marks[-1][0] - self._marks[0][0] < span - 1e-6:
            return None
        (all_of_it, long), (later, short) = self.count(span), self.count(span / 2)
        drop = all_of_it - 2 * later
        if drop <= SURELY * sqrt(all_of_it):
            return None
        usual, lately = self._mean(whole), self._mean(HALF * whole)
        slope = drop / (short * (long - short))
        return min(usual, max(lately, usual - slope * whole / 2))

    def _mean(self, seconds: float) -> float:
        count, took = self.count(seconds)
        return count / took
