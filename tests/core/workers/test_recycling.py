"""A worker that has served enough is replaced before it leaves."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from modelserver.core.workers.recycling import Recycling
from modelserver.spec import WorkerFailure, WorkerState
from modelserver.testing.providers import CollectingObserver, MemoryWorker, Stage, make_job, make_spec
from tests.harness.workers import TIMEOUTS, WorkerTestCase


class TurnoverTests(WorkerTestCase):
    """A pool whose workers may serve two requests each."""

    settings = {"timeouts": TIMEOUTS, "max_requests_per_worker": 2}

    def setUp(self) -> None:
        super().setUp()
        self.pool = self.version.pool

    @property
    def processes(self) -> list[MemoryWorker]:
        return self.stage.backend.workers

    def serve(self, process: MemoryWorker, count: int = 1) -> None:
        for _ in range(count):
            observer = CollectingObserver()
            self.pool.put(make_job(b"a", self.stage.clock.seconds(), observer))
            self.stage.turn()
            process.answer()
            self.assertEqual(observer.bodies, [b"a"])

    def test_the_old_one_serves_until_the_new_one_is_ready(self) -> None:
        self.scaled()
        old = self.processes[0]
        self.serve(old, 2)
        self.assertEqual(len(self.processes), 2)
        self.assertEqual(self.pool.ready, 1)
        self.serve(old)
        self.processes[1].load()
        self.stage.turn()
        self.assertTrue(old.is_gone)
        self.assertEqual(self.pool.ready, 1)
        self.serve(self.processes[1])

    def test_what_the_old_one_has_in_hand_is_finished(self) -> None:
        self.scaled()
        old = self.processes[0]
        self.serve(old, 2)
        observer = CollectingObserver()
        self.pool.put(make_job(b"z", 0.0, observer))
        self.stage.turn()
        self.processes[1].load()
        self.assertFalse(old.is_gone)
        old.answer()
        self.assertEqual(observer.bodies, [b"z"])
        self.assertTrue(old.is_gone)

    def test_one_at_a_time(self) -> None:
        self.scaled(2)
        for _ in range(4):
            for body in (b"a", b"b"):
                self.pool.put(make_job(body, 0.0))
            self.stage.turn()
            for process in self.processes[:2]:
                while process.batches:
                    process.answer()
        self.assertEqual(len(self.processes), 3)

    def test_a_successor_that_cannot_load_is_given_up_and_the_old_one_stays(self) -> None:
        self.scaled()
        self.serve(self.processes[0], 2)
        self.processes[1].exit(WorkerFailure("load", 0.0, exception="ImportError", permanent=True))
        self.stage.turn()
        self.assertEqual([worker.state for worker in self.pool.workers], [WorkerState.READY])
        self.serve(self.processes[0])
        self.assertEqual(self.pool.ready, 1)

    def test_scaling_down_takes_the_successor_along(self) -> None:
        self.scaled()
        self.serve(self.processes[0], 2)
        gone = self.pool.close()
        self.assertTrue(all(process.is_gone for process in self.processes))
        self.successResultOf(gone)
        for _ in range(20):
            self.stage.clock.advance(4)
        self.assertEqual(self.stage.clock.getDelayedCalls(), [])

    def test_an_old_one_that_dies_meanwhile_is_replaced_all_the_same(self) -> None:
        self.scaled()
        self.serve(self.processes[0], 2)
        self.processes[0].exit(WorkerFailure("signal", 0.0, signal="SIGKILL"))
        self.processes[1].load()
        self.stage.turn()
        self.serve(self.processes[1])
        self.assertEqual(len(self.pool.workers), 1)


class JitterTests(SynchronousTestCase):
    """Chance takes up to a tenth away."""

    def test_limits_differ_by_chance(self) -> None:
        stage = Stage()
        version = stage.version(make_spec())
        version.pool.scale(1, 1)
        (worker,) = version.pool.workers
        for random, expected in ((0.0, 100), (0.5, 95), (1.0, 90)):
            turnover = Recycling(100, lambda random=random: random)  # type: ignore[misc]  # it has defaults
            served = next(count for count in range(1, 200) if turnover.is_due(worker, 1))
            self.assertEqual(served, expected)
