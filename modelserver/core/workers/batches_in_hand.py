"""The part of ``InFlight`` that is the same in each mode of a version."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence

from attrs import field
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from modelserver.core.workers.batch import Batch, Settled
from modelserver.core.workers.in_flight import AnswerWatch, Pace
from modelserver.interfaces import WorkerProcess
from modelserver.jobs import Job
from modelserver.language.attributes import define
from modelserver.version_settings.values import Timeouts


@define(eq=False)
class BatchesInHand(ABC):
    """
    What every mode of ``InFlight`` has: the batches, the process they go to, one timer that watches them.

    :param timed_out: is called when the worker is given up.
    :param watch: is shown each batch of answers, and of parts.
    """

    timeouts: Timeouts
    clock: IReactorTime
    timed_out: Callable[[], None]
    watch: AnswerWatch | None = field(default=None, kw_only=True)
    process: WorkerProcess | None = field(default=None, init=False)
    load: int = field(default=0, init=False)
    pace: Pace = field(factory=Pace, init=False)
    batches: deque[Batch] = field(factory=deque, init=False)
    _is_open: bool = field(default=False, init=False)
    _number: int = field(default=0, init=False)
    settled: list[Settled] = field(factory=list, init=False)
    _timer: IDelayedCall | None = field(default=None, init=False)

    def flush(self) -> None:
        """Let the batches of this turn leave."""
        if self.process is not None:
            self.process.flush()

    def take_settled(self) -> Sequence[Settled]:
        """Return, once, the jobs that were answered since the last call, in order."""
        settled, self.settled = self.settled, []
        return settled

    @abstractmethod
    def resume(self, job: Job) -> None:
        """Let the handler send further parts for ``job``, whose observer can take them again."""

    def cancel_stream(self, job: Job) -> None:
        """Have the handler told that the client of ``job`` is gone."""
        for batch in self.batches:
            if job in batch.jobs and self.process is not None:
                self.process.cancel(batch.number, batch.index_of(job))
        self.resume(job)

    def open(self) -> None:
        """Let there be room: the worker is ready."""
        self._is_open = True

    def close(self) -> None:
        """Have no room, and watch the batches in hand no more: the worker is in another state."""
        self._is_open = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
