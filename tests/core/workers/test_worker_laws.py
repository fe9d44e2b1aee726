"""Any order of events: no job is lost, no worker has two processes or two timers."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given, settings
from twisted.trial.unittest import SynchronousTestCase

from modelserver.core.version import ModelVersion
from modelserver.errors import NoWorkers, ServingError
from modelserver.spec import WorkerFailure, WorkerState
from modelserver.testing.providers import CollectingObserver, MemoryWorker, Stage, make_job, make_spec
from tests.harness.workers import CRASH, TIMEOUTS

STEPS = [
    "ask",
    "load",
    "answer",
    "crash",
    "load failure",
    "scale 0",
    "scale 1",
    "scale 3",
    "wait",
    "long wait",
]


class LawTests(SynchronousTestCase):
    """Any order of events: no job is lost, no worker has two processes or two timers."""

    @settings(deadline=None)
    @given(st.lists(st.sampled_from(STEPS), max_size=40), st.integers(1, 3), st.integers(0, 1))
    def test_every_job_is_answered_once(self, steps: list[str], batch_size: int, retries: int) -> None:
        stage = Stage()
        spec = make_spec(
            timeouts=TIMEOUTS, batch_size=batch_size, max_batch_delay=0.5, retry_on_worker_death=retries
        )
        version = stage.version(spec)
        asked: list[CollectingObserver] = []
        for step in steps:
            self._take(step, stage, version, asked)
            stage.turn()
            self._check(stage, version)
        version.pool.scale(0, 0)
        version.queue.fail_all(NoWorkers("resnet", None))
        for _ in range(10):
            stage.clock.advance(4)
        for observer in asked:
            self.assertEqual(len(observer.answers) + len(observer.errors), 1)
        self.assertTrue(all(worker.is_gone for worker in stage.backend.workers))
        self.assertEqual(stage.clock.getDelayedCalls(), [])

    def _take(self, step: str, stage: Stage, version: ModelVersion, asked: list[CollectingObserver]) -> None:
        alive = [worker for worker in stage.backend.workers if not worker.is_gone]
        if step == "ask":
            observer = CollectingObserver()
            try:
                version.pool.put(make_job(b"x", stage.clock.seconds(), observer))
                asked.append(observer)
            except ServingError:
                pass
        elif step.startswith("scale"):
            count = int(step[-1])
            version.pool.scale(count, count, drain=2.0)
        elif step == "wait":
            stage.clock.advance(1)
        elif step == "long wait":
            stage.clock.advance(8)
        elif alive:
            self._happen(step, alive[0])

    def _happen(self, step: str, process: MemoryWorker) -> None:
        if step == "load" and getattr(process.events, "state", None) is WorkerState.STARTING:
            process.load()
        elif step == "answer" and process.batches:
            process.answer(seconds=0.001)
        elif step == "crash":
            process.exit(CRASH)
        elif step == "load failure" and not process.batches:
            process.exit(WorkerFailure("load", 0.0, exception="ValueError"))

    def _check(self, stage: Stage, version: ModelVersion) -> None:
        living: dict[int, int] = {}
        for worker in stage.backend.workers:
            if not worker.is_gone:
                living[id(worker.events)] = living.get(id(worker.events), 0) + 1
        self.assertTrue(all(count == 1 for count in living.values()))
        timers = len(stage.clock.getDelayedCalls())
        self.assertLessEqual(timers, len(living) + len(version.pool.workers) + 2)
