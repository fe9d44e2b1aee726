"""The middle of repeated measurements, and between which bounds it may lie."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Sequence

from attrs import frozen

DRAWS = 2000
CERTAINTY = 0.95


@frozen
class Estimate:
    """The middle of ``count`` values, and bounds between which it is to be expected, with ``CERTAINTY``."""

    middle: float
    low: float
    high: float
    count: int

    def excess(self) -> str:
        """Show a ratio as what it is above 1, in per cent."""
        middle, low, high = (f"{(each - 1) * 100:+.1f}" for each in (self.middle, self.low, self.high))
        return f"{middle} ({low} to {high})"


def trimmed_mean(values: Sequence[float]) -> float:
    """Return the mean without the highest and the lowest tenth; where a median would waste what is known."""
    cut = len(values) // 10
    return statistics.fmean(sorted(values)[cut : len(values) - cut])


def estimate(
    values: Sequence[float], middle: Callable[[Sequence[float]], float] = statistics.median
) -> Estimate:
    """
    Return the middle of values, and its bounds: those of samples drawn from them (bootstrap).

    Nothing is assumed of how they scatter. The draws are the same each time.
    """
    if not values:
        return Estimate(0.0, 0.0, 0.0, 0)
    draw = random.Random(1)
    drawn = sorted(middle(draw.choices(values, k=len(values))) for _ in range(DRAWS))
    tail = round(DRAWS * (1 - CERTAINTY) / 2)
    return Estimate(middle(values), drawn[tail], drawn[-1 - tail], len(values))
