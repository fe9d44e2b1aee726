"""How long the oldest job of a batch that is not full waits for others."""

from __future__ import annotations

from collections.abc import Callable

from attrs import field
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from modelserver.language.attributes import define


@define(eq=False)
class BatchDelay:
    """
    Watches the oldest job with one timer.

    :param seconds: how long it waits at most.
    :param due: is called when the passing of time has made a batch due.
    """

    clock: IReactorTime
    seconds: float
    due: Callable[[], None]
    _timer: IDelayedCall | None = field(default=None, init=False)

    def is_over(self, arrived: float) -> bool:
        """
        Return whether a job has waited enough; where not, ``due`` will be called when it has.

        :param arrived: when the job arrived, in the clock's (monotonic) seconds.
        """
        due_at = arrived + self.seconds
        now = self.clock.seconds()
        if now >= due_at:
            return True
        if self._timer is None:
            self._timer = self.clock.callLater(due_at - now, self._time_passed)
        return False

    def _time_passed(self) -> None:
        self._timer = None
        self.due()

    def stop(self) -> None:
        """Call ``due`` no more for the jobs that have waited so far: they have left."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
