"""The median of repeated measurements, and between which bounds it may lie."""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence

from attrs import frozen

DRAWS = 2000
CERTAINTY = 0.95


@frozen
class Estimate:
    """A median of ``count`` values, and the bounds between which it is to be expected, with ``CERTAINTY``."""

    middle: float
    low: float
    high: float
    count: int

    def excess(self) -> str:
        """Show a ratio as what it is above 1, in per cent."""
        middle, low, high = (f"{(each - 1) * 100:+.1f}" for each in (self.middle, self.low, self.high))
        return f"{middle} ({low} to {high})"


def estimate(values: Sequence[float]) -> Estimate:
    """
    Return the median of values, and its bounds: those of the medians of samples drawn from them (bootstrap).

    Nothing is assumed of how they scatter. The draws are the same each time.
    """
    if not values:
        return Estimate(0.0, 0.0, 0.0, 0)
    draw = random.Random(1)
    medians = sorted(statistics.median(draw.choices(values, k=len(values))) for _ in range(DRAWS))
    tail = round(DRAWS * (1 - CERTAINTY) / 2)
    return Estimate(statistics.median(values), medians[tail], medians[-1 - tail], len(values))
