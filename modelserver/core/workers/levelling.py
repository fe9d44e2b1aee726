"""Moves calls that wait in a busy worker to a free one (work stealing), when one takes longer than usual."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import field
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from modelserver.core.workers.in_flight import InFlight
from modelserver.core.workers.worker import Worker
from modelserver.language.attributes import define

SOON, STALL = 0.0005, 0.001
"""Seconds between two looks for a free worker's sake, and those that a call takes which holds others up."""
LONG, LONGEST = 0.01, 0.25
"""Seconds that a call takes behind which nothing done shall wait, and from one look for that to the next."""


@define(eq=False)
class Levelling:
    """
    Watches the calls that wait behind others in workers; nothing while no worker has more than one in hand.

    While a worker is free, calls that were sent ahead to another one, and wait there behind a call that takes
    ``STALL`` seconds, are taken back for the free one, within two of these times after it has become free.
    Answers that a worker keeps behind a call of ``LONG`` seconds are fetched, whether one is free or not.

    :param workers: those of the pool; the pool changes the list.
    """

    clock: IReactorTime
    workers: Sequence[Worker]
    _timer: IDelayedCall | None = field(default=None, init=False)
    _answers_timer: IDelayedCall | None = field(default=None, init=False)
    _seen: dict[InFlight, float] = field(factory=dict, init=False)
    """When the calls had begun that held others up at the last look, of workers with something behind them.

    One look is not enough: a busy server may have the answers in the socket still."""

    def watch(self) -> None:
        """Look at the workers soon, where that may be worth it: the pool has handed out what waits."""
        if self._answers_timer is not None and (self._timer is not None or len(self.workers) == 1):
            return  # a lone worker has nothing that another one could have
        is_free = is_behind = False
        for worker in self.workers:
            load = worker.in_flight.load
            if load > 1:
                is_behind = is_behind or worker.in_flight.behind > 0
            elif not load:
                is_free = True
        if not is_behind:
            return
        if is_free and self._timer is None:
            self._timer = self.clock.callLater(SOON, self._look)
        if self._answers_timer is None:
            self._answers_timer = self.clock.callLater(LONG, self._look_for_answers)

    def _hands(self) -> list[InFlight]:
        return [worker.in_flight for worker in self.workers if worker.in_flight.behind]

    def _look(self) -> None:
        """Take back what waits behind long calls, if a worker is free."""
        self._timer = None
        seen, self._seen = self._seen, {}
        if not any(_is_free(worker.in_flight) for worker in self.workers):
            return
        now = self.clock.seconds()
        for hand in self._hands():
            begun = hand.begun
            if seen.get(hand) == begun and now - begun >= STALL:
                hand.take_back()
                hand.collect()
            self._seen[hand] = begun
        if self._seen and self._timer is None:
            self._timer = self.clock.callLater(SOON, self._look)

    def _look_for_answers(self) -> None:
        """
        Have the answers behind which calls take long.

        A call is looked at again when it has lasted twice as long: the worker may have begun another one.
        """
        self._answers_timer = None
        now = self.clock.seconds()
        left = LONGEST
        hands = self._hands()
        for hand in hands:
            seconds = now - hand.begun
            if seconds >= LONG:
                hand.collect()
            left = min(left, max(seconds, LONG))
        if hands and self._answers_timer is None:
            self._answers_timer = self.clock.callLater(left, self._look_for_answers)


def _is_free(hand: InFlight) -> bool:
    return not hand.load and hand.room > 0
