"""Staying awake for the answer of a worker that takes next to no time."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field

from modelserver.core.workers.worker import LEAST, Worker

TURNS = 40
"""Turns of the event loop for which it is worth it: about 0.2 ms."""


@define(eq=False)
class BusyPoll:
    """
    Keeps the event loop turning while a worker has a single call in hand that will take next to no time.

    To wake the server would take longer than such an answer. Each turn serves whatever else is ready: nothing
    is blocked.

    :param call_soon: run something once, after the events that are being handled.
    :param turns: at most so many for each answer; 0: none, as where there is one processor for all.
    """

    call_soon: Callable[[Callable[[], None]], object]
    turns: int
    _left: int = field(default=0, init=False)
    _worker: Worker | None = field(default=None, init=False)

    def pay(self, worker: Worker) -> None:
        """A worker has just been given something."""
        if worker.load == 1 and worker.mean_batch is not None and worker.mean_batch < LEAST:
            is_idle = not self._left
            self._worker, self._left = worker, self.turns
            if is_idle and self.turns:
                self.call_soon(self._turn)

    def _turn(self) -> None:
        self._left -= 1
        if self._worker is None or self._worker.load != 1:
            self._left = 0
        if self._left:
            self.call_soon(self._turn)
