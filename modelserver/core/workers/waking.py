"""Scale from zero: lets requests wait for a version that has no worker, while somebody brings some."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import field
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from modelserver.core.queues.job_queue import JobQueue
from modelserver.core.workers.worker import Worker
from modelserver.errors import NoWorkers, ServingError
from modelserver.jobs import FINISHED
from modelserver.language.attributes import define


@define(eq=False)
class Waking:
    """
    Holds the jobs of a version without workers in its queue, and has workers brought by the first one.

    It is closed until ``open``: without workers, jobs are refused. A job that is held waits for ``timeout``
    seconds at most; its own deadline is watched as that of any other. The queue's limits say how many may.

    A wake goes on until a worker is ready, the workers have given up, or ``fail`` is called. Whoever brings
    workers may first have to fetch or make room for them: nothing here asks how.

    :param workers: those of the pool; the pool changes the list.
    """

    model: str
    version: str
    queue: JobQueue
    workers: Sequence[Worker]
    clock: IReactorTime
    call_soon: Callable[[Callable[[], None]], object]
    _bring: Callable[[], object] | None = field(default=None, init=False)
    _timeout: float = field(default=0.0, init=False)
    _begun: float | None = field(default=None, init=False)
    _timer: IDelayedCall | None = field(default=None, init=False)

    def open(self, bring: Callable[[], object], timeout: float) -> None:
        """
        Hold jobs from now on where there is no worker.

        :param bring: is called once for each wake, at the end of a turn of the event loop; it sees to it that
            the pool is scaled, now or later, or calls ``fail``.
        :param timeout: seconds that a job may be held.
        """
        self._bring, self._timeout = bring, timeout

    def close(self) -> None:
        """Hold no job any more; those that wait are the caller's to answer."""
        self._bring = None
        self.end()

    @property
    def is_open(self) -> bool:
        """Whether a job may wait although there is no worker."""
        return self._bring is not None and self.queue.closed is None

    @property
    def is_under_way(self) -> bool:
        """Whether workers are being brought, and none is ready."""
        return self._begun is not None

    def begin(self) -> bool:
        """Have workers brought, unless they are on their way; return whether a job may wait for them."""
        if not self.is_open:
            return False
        if self._begun is None:
            self._begun = self.clock.seconds()
            self._timer = self.clock.callLater(self._timeout, self._look)
            self.call_soon(self._ask)
        return True

    def begin_for_waiting(self) -> None:
        """Have workers brought if a job waits for some."""
        if self.queue.waiting:
            self.begin()

    def _ask(self) -> None:
        if self._bring is not None and self._begun is not None:
            self._bring()

    def end(self) -> float | None:
        """End the wake, for a worker is ready or none will be; return its seconds, None if there was none."""
        begun, self._begun = self._begun, None
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        return None if begun is None else self.clock.seconds() - begun

    def fail(self, error: ServingError) -> None:
        """End the wake, and answer those that wait with ``error``; the next job begins another one."""
        self.end()
        self.queue.fail_all(error)

    def _look(self) -> None:
        """Refuse the jobs that have waited long enough, and come again for the others."""
        self._timer = None
        now = self.clock.seconds()
        oldest = now
        for job in self.queue.jobs():
            if job.state is FINISHED:
                continue
            if job.request.arrived + self._timeout <= now:
                job.fail(NoWorkers(self.model, self.version, self._reason()))
            else:
                oldest = min(oldest, job.request.arrived)
        if not self.workers and not self.queue.waiting:
            self.end()
        else:
            self._timer = self.clock.callLater(oldest + self._timeout - now, self._look)

    def _reason(self) -> str:
        failures = [worker.failure for worker in self.workers if worker.failure is not None]
        why = f"; the last that tried: {failures[-1]}" if failures else ""
        return f"no worker has loaded it within {self._timeout:g} s{why}"
