"""Tells when a pool whose queue takes no more jobs has nothing left to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from attrs import field
from twisted.internet.defer import Deferred

from modelserver.core.workers.waiters import Waiters
from modelserver.jobs import Job
from modelserver.language.attributes import define


@define(eq=False)
class IdleWatch:
    """
    Fires Deferreds when a pool is idle; nothing is polled, and without a Deferred nothing is watched.

    :param is_idle: whether no job waits or is in a worker's hand.
    :param call_soon: runs something after the events that are being handled.
    :param waiters: the Deferreds to fire.
    """

    is_idle: Callable[[], bool]
    call_soon: Callable[[Callable[[], None]], object]
    waiters: Waiters = field(factory=Waiters, init=False)

    def when_idle(self, waiting: Iterable[Job]) -> Deferred[None]:
        """
        Fire when the pool is idle: at once, or in a later turn of the event loop than the last job's end.

        Cancelling is allowed.

        :param waiting: the jobs that are in the queue.
        """
        idle = self.waiters.wait()
        self.watch(waiting)
        self._fire()
        return idle

    def watch(self, waiting: Iterable[Job]) -> None:
        """Watch jobs that wait in the queue: a worker does not report the end of those that it never had."""
        if self.waiters:
            for job in waiting:
                job.dropped = self.look

    def look(self) -> None:
        """See whether the pool is idle, at the end of this turn: a job has ended."""
        if self.waiters:
            self.call_soon(self._fire)

    def _fire(self) -> None:
        if self.is_idle():
            self.waiters.fire()
