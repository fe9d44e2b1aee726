"""A timer wheel: times that may run out, in buckets; most things leave before, and leave nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Generic, TypeVar

from attrs import field
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from modelserver.language.attributes import define

Item = TypeVar("Item")

GRAIN = 0.02
"""Seconds by which something may be told too late."""
STEPS = ((2.0, GRAIN), (100.0, 0.5), (float("inf"), 30.0))
"""How wide buckets are, by how many seconds are left: those far ahead are wide, and sorted once more."""
FARTHEST = 86400.0
"""Seconds to the farthest bucket; what ends later is sorted once more. It bounds how many there are."""


class Bucket(dict[Item, float]):
    """What ends in one stretch of time, and when each does; who is done with leaves by ``leave``."""

    def leave(self, item: Item) -> None:
        """Forget ``item``, if it is here."""
        self.pop(item, None)
        if not self:
            self.clear()  # else a bucket that was full once would keep its table until its time


@define(eq=False)
class TimeBuckets(Generic[Item]):
    """
    Watches over any number of things with one timer; putting one in and taking it out cost the same, always.

    :param clock: its seconds are monotonic.
    :param placed: told which bucket a thing is in, from now on: the one that it may leave.
    :param expired: told of each thing whose time is over, up to 20 ms late.
    """

    clock: IReactorTime
    placed: Callable[[Item, Bucket[Item]], object]
    expired: Callable[[Item], object]
    _buckets: dict[float, Bucket[Item]] = field(factory=dict, init=False)
    _order: list[float] = field(factory=list, init=False)
    _timer: IDelayedCall | None = field(default=None, init=False)
    _timer_at: float = field(default=0.0, init=False)

    def add(self, item: Item, at: float) -> None:
        """Tell of ``item`` when the clock shows ``at``; a moment later, where that is over."""
        bucket = self._bucket_for(at, self.clock.seconds())
        bucket[item] = at
        self.placed(item, bucket)

    def __len__(self) -> int:
        return sum(len(bucket) for bucket in self._buckets.values())

    def _bucket_for(self, at: float, now: float) -> Bucket[Item]:
        left = at - now
        if left < STEPS[0][0]:
            due = (int(at / GRAIN) + 1) * GRAIN
        else:
            # A wide bucket is looked into at its beginning.
            step = next(width for limit, width in STEPS if left < limit)
            due = int(min(at, now + FARTHEST) / step) * step
        bucket = self._buckets.get(due)
        if bucket is None:
            bucket = self._buckets[due] = Bucket()
            heappush(self._order, due)
            self._set_timer()
        return bucket

    def _set_timer(self) -> None:
        if not self._order:
            return
        at = self._order[0]
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer_at = at
        self._timer = self.clock.callLater(max(0.0, at - self.clock.seconds()), self._look)

    def _look(self) -> None:
        self._timer = None
        now = self.clock.seconds()
        while self._order and self._order[0] <= now:
            # Taken out one by one, since telling of one may have others leave.
            bucket = self._buckets.pop(heappop(self._order))
            while bucket:
                item, at = bucket.popitem()
                if at <= now:
                    self.expired(item)
                else:
                    self.add(item, at)
        self._set_timer()

    def stop(self) -> None:
        """Watch no more."""
        self._buckets.clear()
        self._order.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
