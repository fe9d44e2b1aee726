"""Answer jobs whose clients wait only so long when their time is over, wherever the jobs are."""

from __future__ import annotations

from heapq import heappop, heappush

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from modelserver.errors import DeadlinePassed
from modelserver.jobs import FINISHED, WAITING, Job


@define(eq=False)
class Deadlines:
    """Watches jobs that have a deadline, with one timer for all."""

    clock: IReactorTime
    _jobs: list[tuple[float, int, Job]] = field(factory=list, init=False)
    _count: int = field(default=0, init=False)
    _timer: IDelayedCall | None = field(default=None, init=False)
    _timer_at: float = field(default=0.0, init=False)

    def watch(self, job: Job) -> None:
        """Answer ``job`` with DeadlinePassed at its deadline, unless it is finished by then."""
        deadline = job.request.deadline
        if deadline is None:
            return
        self._count += 1
        heappush(self._jobs, (deadline, self._count, job))
        self._set_timer()

    def _set_timer(self) -> None:
        if not self._jobs:
            return
        at = self._jobs[0][0]
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer_at = at
        self._timer = self.clock.callLater(max(0.0, at - self.clock.seconds()), self._expire)

    def _expire(self) -> None:
        self._timer = None
        now = self.clock.seconds()
        while self._jobs and (self._jobs[0][0] <= now or self._jobs[0][2].state is FINISHED):
            _, _, job = heappop(self._jobs)
            if job.state is not FINISHED:
                job.recall()
                is_started = job.state is not WAITING
                job.fail(DeadlinePassed(now - job.request.arrived, started=is_started))
        self._set_timer()

    def stop(self) -> None:
        """Watch no more."""
        self._jobs.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
