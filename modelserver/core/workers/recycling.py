"""Workers that have served enough: each is replaced before it leaves, one at a time."""

from __future__ import annotations

from collections.abc import Callable

from attrs import field

from modelserver.core.workers.worker import Worker
from modelserver.language.attributes import define

JITTER = 0.1
"""The share of a worker's requests that chance takes away, so that not all are due at once."""


@define(eq=False)
class Recycling:
    """
    Knows which worker is due, and which new one is to take its place.

    :param limit: requests after which a worker is replaced; 0: never.
    :param random: a number from 0 to 1.
    """

    limit: int
    random: Callable[[], float]
    old: Worker | None = field(default=None, init=False)
    successor: Worker | None = field(default=None, init=False)
    _left: dict[Worker, int] = field(factory=dict, init=False)

    def is_due(self, worker: Worker, jobs: int) -> bool:
        """Count what a worker has served. Return whether it should be replaced now."""
        if not self.limit:
            return False
        left = self._left.get(worker)
        if left is None:
            left = max(1, round(self.limit * (1 - JITTER * self.random())))
        self._left[worker] = left = left - jobs
        return left <= 0 and self.old is None

    def begin(self, old: Worker, successor: Worker) -> None:
        """Note that ``successor`` is being started for ``old``."""
        self.old, self.successor = old, successor

    def end(self) -> tuple[Worker, Worker] | None:
        """Return the pair, which is one no more: the successor is there, or will not be."""
        old, successor = self.old, self.successor
        self.old = self.successor = None
        if old is None or successor is None:
            return None
        self._left.pop(old, None)
        return old, successor

    def reset_count(self, worker: Worker) -> None:
        """Reset the request count of a worker that restarted or left."""
        self._left.pop(worker, None)
