"""Those who wait for one moment in a pool's life."""

from __future__ import annotations

from attrs import field
from twisted.internet.defer import Deferred

from modelserver.language.attributes import define


@define(eq=False)
class Waiters:
    """Deferreds that fire together; each may be cancelled."""

    _waiting: list[Deferred[None]] = field(factory=list, init=False)

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def wait(self) -> Deferred[None]:
        """Return one more Deferred, which fires at the next ``fire`` or ``fail``."""
        waiter: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(waiter)
        return waiter

    def fire(self) -> None:
        """Let everybody go on."""
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(None)

    def fail(self, error: Exception) -> None:
        """Tell everybody that the moment does not come."""
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.errback(error)
