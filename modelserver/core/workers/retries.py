"""Decide which jobs of a dead worker are retried and which fail."""

from __future__ import annotations

from collections.abc import Sequence

from modelserver.core.workers.batch import Batch
from modelserver.errors import WorkerDied
from modelserver.jobs import FINISHED, STREAMING, Job
from modelserver.spec import DEVICE, WorkerFailure


def retry_or_fail(batches: Sequence[Batch], failure: WorkerFailure, tries: int) -> tuple[list[Job], int]:
    """
    Fail the jobs that get no other try. Return those that do, in order, and how many of them have used it.

    Those of the handler's present call may have killed the worker: each gets a second worker, to itself. So
    do those behind them, for a worker may have begun them unseen; but that is not counted against them.
    A job that was alone in a call which has left the device unusable is not tried again.

    :param batches: what the worker had in hand, the oldest first.
    :param tries: how often a job may be tried again.
    """
    again: list[Job] = []
    retried = 0
    suspects = batches[0].current if batches else ()
    for batch in batches:
        for job in batch.jobs:
            if job.state is FINISHED:
                continue
            is_suspect = job in suspects
            if is_suspect and not _has_another(job, failure, tries, len(suspects) == 1):
                job.fail(WorkerDied(failure))
                continue
            retried += is_suspect
            job.wait_again()
            again.append(job)
    return again, retried


def _has_another(job: Job, failure: WorkerFailure, tries: int, was_alone: bool) -> bool:
    """Count a try. Return whether the next one is allowed, and could end otherwise than this one."""
    job.tries += 1
    if failure.cause == DEVICE and was_alone:
        return False
    return job.tries <= tries and job.state is not STREAMING and failure.cause != "response timeout"
