"""How long somebody is waited for who may hang, or stand still."""

from __future__ import annotations

from collections.abc import Callable

from attrs import field
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from modelserver.language.attributes import define


@define(eq=False)
class Patience:
    """
    Ends ``seconds`` after the last sign of life, as long as there is something to wait for.

    :param give_up: called when it is over.
    """

    clock: IReactorTime
    seconds: float
    give_up: Callable[[], None]
    _timer: IDelayedCall | None = field(default=None, init=False)

    def renew(self, is_waiting: bool) -> None:
        """Begin anew, or no more where nothing is waited for."""
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
        if is_waiting:
            self._timer = self.clock.callLater(self.seconds, self.give_up)
