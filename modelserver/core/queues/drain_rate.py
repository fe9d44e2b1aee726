"""How fast a queue empties, as far as it has been seen to: what a refused client is told to wait."""

from __future__ import annotations

from collections import deque

from attrs import field

from modelserver.language.attributes import define

STEP, WINDOW, SHORTEST = 0.5, 10.0, 0.25
"""Seconds between two marks, that marks are kept, and that a measurement takes at least."""


@define(eq=False)
class DrainRate:
    """
    Measures only while somebody asks, that is, while requests are refused: serving costs one addition.

    :param finished: jobs that were served so far; its owner counts.
    """

    finished: int = field(default=0, init=False)
    _marks: deque[tuple[float, int]] = field(factory=deque, init=False)

    def seconds_for(self, jobs: int, now: float) -> float | None:
        """Seconds in which so many jobs are served at the rate of the last seconds; None while unknown."""
        marks = self._marks
        while marks and now - marks[0][0] > WINDOW:
            marks.popleft()
        if not marks or now - marks[-1][0] >= STEP:
            marks.append((now, self.finished))
        since, before = marks[0]
        if now - since < SHORTEST or self.finished == before:
            return None
        return jobs * (now - since) / (self.finished - before)
