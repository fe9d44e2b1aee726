"""A watchdog timer: how long a process is waited for that may hang, or stand still."""

from __future__ import annotations

from collections.abc import Callable

from attrs import field
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from modelserver.language.attributes import define


@define(eq=False)
class Watchdog:
    """
    Gives up ``seconds`` after the last sign of life, while there is something to wait for.

    :param give_up: called once that long without a sign.
    """

    clock: IReactorTime
    seconds: float
    give_up: Callable[[], None]
    _timer: IDelayedCall | None = field(default=None, init=False)

    def renew(self, is_waiting: bool) -> None:
        """Note a sign of life: begin to wait anew, or stop waiting where there is nothing to wait for."""
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
        if is_waiting:
            self._timer = self.clock.callLater(self.seconds, self.give_up)
