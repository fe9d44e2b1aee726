"""When a client whose request was refused, for too many wait, may try again."""

from __future__ import annotations

from collections.abc import Iterable

from modelserver.core.queues.drain_rate import DrainRate
from modelserver.core.workers.worker import READY, Worker

LONGEST_RETRY = 600.0
"""Seconds that a refused client is told to wait at most."""


def seconds_to_drain(
    rate: DrainRate, waiting: int, now: float, workers: Iterable[Worker], batch_size: int
) -> float:
    """
    Return the seconds in which a queue empties, as measured, else by the mean times of its workers' handlers.

    :param waiting: the jobs that are to be served.
    :param now: the clock's (monotonic) seconds.
    """
    measured = rate.seconds_for(waiting, now)
    if measured is None:
        times = [worker.in_flight.pace.mean for worker in workers if worker.state is READY]
        speed = sum(batch_size / seconds for seconds in times if seconds)
        measured = waiting / speed if speed else 1.0
    return min(measured, LONGEST_RETRY)
