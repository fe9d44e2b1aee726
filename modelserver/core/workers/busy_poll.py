"""Busy-poll the event loop (about 0.2 ms) while an answer is expected that takes next to no time."""

from __future__ import annotations

from collections.abc import Callable

from attrs import field

from modelserver.core.workers.in_flight import LEAST, InFlight
from modelserver.language.attributes import define

TURNS = 40
"""Turns of the event loop for which it is worth it: about 0.2 ms."""


@define(eq=False)
class BusyPoll:
    """
    Keeps the event loop turning while a worker has a single call in hand that will take next to no time.

    To wake the server would take longer than such an answer. Each turn serves whatever else is ready: nothing
    is blocked.

    :param call_soon: runs a function once, after the events that are being handled.
    :param turns: turns of the event loop for each answer at most; 0 where one processor does everything.
    """

    call_soon: Callable[[Callable[[], None]], object]
    turns: int
    _left: int = field(default=0, init=False)
    _awaited: InFlight | None = field(default=None, init=False)

    def start(self, in_flight: InFlight) -> None:
        """Stay awake for a worker that has just been given something, if it is worth it."""
        mean = in_flight.pace.mean
        if in_flight.load == 1 and mean is not None and mean < LEAST:
            is_idle = not self._left
            self._awaited, self._left = in_flight, self.turns
            if is_idle and self.turns:
                self.call_soon(self._turn)

    def _turn(self) -> None:
        self._left -= 1
        if self._awaited is None or self._awaited.load != 1:
            self._left = 0
        if self._left:
            self.call_soon(self._turn)
