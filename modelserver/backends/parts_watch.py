"""When the server looks for the parts that a worker lays in memory: where one soon follows another."""

from __future__ import annotations

from collections.abc import Callable

from attrs import field
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from modelserver.language.attributes import define
from modelserver.protocol.parts import PartsReader

SOON = 0.001
"""Seconds between two looks; parts that come at longer intervals are announced by the worker."""


@define(eq=False)
class PartsWatch:
    """
    Looks into one worker's memory while its parts come in quick succession, and rests otherwise.

    :param look: takes the parts that are there, and returns whether there were any.
    """

    reader: PartsReader
    clock: IReactorTime
    look: Callable[[], bool]
    _last: float = field(default=-1.0, init=False)
    """When parts came last."""
    _is_looking: bool = field(default=False, init=False)
    _timer: IDelayedCall | None = field(default=None, init=False)

    def announced(self) -> None:
        """Begin to look if parts came a moment ago, too: the worker has announced some."""
        now = self.clock.seconds()
        if not self._is_looking and now - self._last < SOON:
            self._is_looking = True
            self.reader.look(True)
            if self._timer is None:
                self._timer = self.clock.callLater(SOON, self._tick)
        self._last = now

    def _tick(self) -> None:
        self._timer = None
        if self.look() or not self.reader.is_empty:
            self._last = self.clock.seconds()
        elif self._is_looking:
            # Once more after this: what the worker has laid without seeing it is there by then.
            self._is_looking = False
            self.reader.look(False)
        else:
            return
        self._timer = self.clock.callLater(SOON, self._tick)

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
