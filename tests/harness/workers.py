"""One version over workers in memory: its pool, and the jobs that are put into it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from modelserver.core.version import ModelVersion
from modelserver.jobs import Job
from modelserver.spec import VersionSpec, WorkerFailure, WorkerState
from modelserver.testing.providers import CollectingObserver, MemoryWorker, Stage, make_job, make_spec
from modelserver.version_settings.values import Timeouts

TIMEOUTS = Timeouts(startup=8.0, response=2.0, recovery=16.0, grace=4.0)
CRASH = WorkerFailure("signal", 0.0, signal="SIGSEGV")


class WorkerTestCase(SynchronousTestCase):
    """
    A pool of one version over workers in memory.

    :cvar settings: the version's, apart from those that a test gives to ``make`` or ``scaled``.
    """

    settings: ClassVar[Mapping[str, Any]] = {"timeouts": TIMEOUTS, "retry_on_worker_death": 0}

    def setUp(self) -> None:
        self.stage = Stage()
        self.clock = self.stage.clock
        self.version = self.make()

    def make(self, **more: Any) -> ModelVersion:
        """Return a version without workers."""
        return self.stage.version(make_spec(**{**self.settings, **more}))

    @property
    def process(self) -> MemoryWorker:
        """The worker that was launched last."""
        return self.stage.backend.last

    def scaled(self, count: int = 1, **more: object) -> ModelVersion:
        """Scale to so many workers, which load at once; settings make the version anew."""
        if more:
            self.version = self.make(**more)
        self.version.pool.scale(count, count)
        for worker in self.stage.backend.workers:
            if not worker.is_gone and not worker.batches:
                worker.load()
        self.stage.turn()
        return self.version

    def ask(self, *bodies: bytes) -> list[CollectingObserver]:
        """Put one job for each body; return their observers."""
        observers = []
        for body in bodies:
            observer = CollectingObserver()
            self.version.pool.put(make_job(body, self.clock.seconds(), observer))
            observers.append(observer)
        self.stage.turn()
        return observers

    @property
    def states(self) -> list[WorkerState]:
        """The state of each worker of the pool."""
        return [worker.state for worker in self.version.pool.workers]


class JobTestCase(SynchronousTestCase):
    """A version whose workers in memory load as soon as they are launched, and its jobs."""

    def start_version(self, spec: VersionSpec, workers: int = 1) -> None:
        """Start anew, with this version and so many workers."""
        self.stage = Stage(loads=True)
        self.clock = self.stage.clock
        self.version = self.stage.version(spec)
        self.version.pool.scale(workers, workers)
        self.stage.turn()
        self.workers = list(self.stage.backend.workers)

    def put_job(self, body: bytes, head: bytes = b"", exclusive: bool = False) -> Job:
        """Put a job, and let it be dispatched if a worker is free."""
        job = make_job(body, self.clock.seconds(), header_block=head, exclusive=exclusive)
        self.version.pool.put(job)
        self.stage.turn()
        return job

    def observer(self, job: Job) -> CollectingObserver:
        """Return who is told what becomes of a job."""
        assert isinstance(job.observer, CollectingObserver)
        return job.observer

    def batch_of(self, job: Job, worker: MemoryWorker) -> int:
        """Return the number of the batch in which a worker has a job."""
        return next(number for number, jobs in worker.batches if job in jobs)
