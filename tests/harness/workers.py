"""A pool of one version over workers in memory."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from modelserver.core.registry import ModelVersion
from modelserver.spec import Timeouts, WorkerFailure, WorkerState
from modelserver.testing import CollectingObserver, MemoryWorker, Stage, make_job, make_spec

TIMEOUTS = Timeouts(startup=8.0, response=2.0, recovery=16.0, grace=4.0)
CRASH = WorkerFailure("signal", 0.0, signal="SIGSEGV")


class WorkerTestCase(SynchronousTestCase):
    """A pool of one version over workers in memory."""

    def setUp(self) -> None:
        self.stage = Stage()
        self.clock = self.stage.clock
        self.version = self.make()

    def make(self, **more: object) -> ModelVersion:
        more = {"timeouts": TIMEOUTS, "retry_on_worker_death": 0, **more}
        return self.stage.version(make_spec(**more))

    @property
    def process(self) -> MemoryWorker:
        return self.stage.backend.last

    def scaled(self, count: int = 1) -> ModelVersion:
        self.version.pool.scale(count, count)
        for worker in self.stage.backend.workers:
            if not worker.is_gone and not worker.batches:
                worker.load()
        self.stage.turn()
        return self.version

    def ask(self, *bodies: bytes) -> list[CollectingObserver]:
        observers = []
        for body in bodies:
            observer = CollectingObserver()
            self.version.pool.put(make_job(body, self.clock.seconds(), observer))
            observers.append(observer)
        self.stage.turn()
        return observers

    @property
    def states(self) -> list[WorkerState]:
        return [worker.state for worker in self.version.pool.workers]
