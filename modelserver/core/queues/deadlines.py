"""Answer jobs whose clients wait only so long when their time is over, wherever the jobs are."""

from __future__ import annotations

from attrs import field
from twisted.internet.interfaces import IReactorTime

from modelserver.core.queues.time_buckets import Bucket, TimeBuckets
from modelserver.errors import DeadlinePassed
from modelserver.jobs import FINISHED, WAITING, Job
from modelserver.language.attributes import define


@define(eq=False)
class Deadlines:
    """Watches jobs that have a deadline until they are finished, and keeps none that is."""

    clock: IReactorTime
    _jobs: TimeBuckets[Job] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._jobs = TimeBuckets(self.clock, _place, self._expire)

    def __len__(self) -> int:
        """Return how many jobs are watched."""
        return len(self._jobs)

    def watch(self, job: Job) -> None:
        """Answer ``job`` with DeadlinePassed at its deadline, or up to 20 ms later, unless it is finished."""
        deadline = job.request.deadline
        if deadline is not None and job.state is not FINISHED:
            self._jobs.add(job, deadline)

    def _expire(self, job: Job) -> None:
        if job.state is FINISHED:
            return
        job.recall()
        is_started = job.state is not WAITING
        job.fail(DeadlinePassed(self.clock.seconds() - job.request.arrived, started=is_started))

    def stop(self) -> None:
        """Watch no more."""
        self._jobs.stop()


def _place(job: Job, bucket: Bucket[Job]) -> None:
    job.bucket = bucket
