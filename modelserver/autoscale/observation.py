"""Reads the present load of a version from its queue and its workers."""

from __future__ import annotations

from modelserver.autoscale.judge import Observation
from modelserver.autoscale.policy import CallCost
from modelserver.core.version import ModelVersion
from modelserver.core.workers.concurrent import AT_ONCE
from modelserver.core.workers.demand import Demand
from modelserver.core.workers.worker import READY, Worker
from modelserver.spec import VersionSpec, WorkerState

_TROUBLED = frozenset({WorkerState.WAITING, WorkerState.SUSPECT, WorkerState.DYING, WorkerState.FAILED})


def observe(version: ModelVersion, demand: Demand, now: float) -> Observation:
    """
    Return the version's load as it is now.

    :param demand: what has been counted since the version is watched.
    :param now: the clock's (monotonic) seconds.
    """
    pool = version.pool
    ready = [worker for worker in pool.workers if worker.state is READY]
    is_troubled = any(worker.state in _TROUBLED for worker in pool.workers)
    return Observation(
        workers=len(pool.workers),
        is_failing=is_troubled and not ready,
        waiting=version.queue.length + pool.jobs_ahead,
        in_hand=pool.jobs_in_hand - pool.jobs_ahead,
        arrived=demand.arrived,
        costs={size: CallCost(time.mean, time.spread) for size, time in demand.times.items()},
        stuck=min((_seconds_in_call(worker, now) for worker in ready), default=0.0),
        slots=_slots(version.spec),
        loading=demand.load or 0.0,
    )


def _seconds_in_call(worker: Worker, now: float) -> float:
    begun = worker.in_flight.begun
    return now - begun if begun else 0.0


def _slots(spec: VersionSpec) -> int:
    """Return how many calls of the handler a worker has at work side by side."""
    if spec.mode == "concurrent":
        return AT_ONCE
    return spec.batching.size if spec.mode == "continuous" else 1
