"""What a worker asks of the pool that owns it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from modelserver.core.workers.batch import Batch, Times
from modelserver.errors import WorkerFailure
from modelserver.jobs import Job

if TYPE_CHECKING:
    from modelserver.core.workers.worker import Worker


class WorkerOwner(Protocol):
    """What a worker tells its pool, and asks of it."""

    @property
    def has_many_waiting(self) -> bool:
        """Whether more jobs wait than all workers could have ahead."""

    def worker_ready(self, worker: Worker, seconds: float) -> None:
        """The model is loaded; it took so long."""

    def worker_has_room(self, worker: Worker) -> None:
        """Answers came, and everything that came with them has been handed out."""

    def batch_finished(self, worker: Worker, jobs: Sequence[Job], calls: int, times: Times) -> None:
        """Jobs came back, from so many calls of the handler."""

    def worker_counted(self, worker: Worker, metrics: Sequence[Mapping[str, object]]) -> None:
        """The handler counted something."""

    def worker_lost(self, worker: Worker, batches: Sequence[Batch], failure: WorkerFailure) -> None:
        """The process is gone with these batches in hand, the oldest first."""

    def worker_gave_up(self, worker: Worker) -> None:
        """It will not be started again by itself."""

    def worker_stopped(self, worker: Worker) -> None:
        """It is gone for good."""
