"""A worker of whose machine nothing is heard gives its jobs to others, and comes back as it was."""

from __future__ import annotations

from modelserver.spec import WorkerFailure, WorkerPlace, WorkerState
from modelserver.testing.providers import MemoryWorker
from tests.harness.workers import TIMEOUTS, WorkerTestCase

SILENT = WorkerFailure("silence", 0.0, text="nothing was heard of node b for 3 s")


class SuspectTests(WorkerTestCase):
    """Two workers, and one goes silent."""

    settings = {"timeouts": TIMEOUTS}

    def silenced(self) -> tuple[MemoryWorker, MemoryWorker]:
        """The worker that has the job, which goes silent, and the other one."""
        first, second = self.stage.backend.workers
        has_it, other = (first, second) if first.batches else (second, first)
        has_it.events.went_silent(SILENT)
        has_it.batches.clear()
        self.stage.turn()
        return has_it, other

    def test_jobs_in_hand_are_answered_elsewhere(self) -> None:
        self.scaled(2)
        (observer,) = self.ask(b"a")
        _, other = self.silenced()
        other.answer()
        self.assertEqual(([b"a"], []), (observer.bodies, observer.errors))
        self.assertIn(WorkerState.SUSPECT, self.states)

    def test_suspect_gets_no_jobs(self) -> None:
        self.scaled(2)
        self.ask(b"a")
        silent, other = self.silenced()
        self.ask(b"b", b"c")
        self.assertEqual(([], 1), (silent.batches, len(other.batches)))

    def test_it_is_not_started_again_and_comes_back_to_work(self) -> None:
        self.scaled(2)
        self.ask(b"a")
        silent, other = self.silenced()
        other.answer()
        silent.events.heard_again()
        self.stage.turn()
        observers = self.ask(b"b", b"c")
        for worker in (silent, other):
            worker.answer()
        self.assertEqual([[b"b"], [b"c"]], [observer.bodies for observer in observers])
        self.assertEqual(2, len(self.stage.backend.workers))
        self.assertEqual(0, self.stage.recorder.counts.get(("worker_restarted", "resnet"), 0))

    def test_jobs_wait_for_the_only_worker_to_come_back(self) -> None:
        self.scaled()
        (observer,) = self.ask(b"a")
        self.process.events.went_silent(SILENT)
        self.process.batches.clear()
        self.stage.turn()
        self.assertEqual(([], []), (observer.bodies, observer.errors))
        self.process.events.heard_again()
        self.stage.turn()
        self.process.answer()
        self.assertEqual([b"a"], observer.bodies)

    def test_the_end_of_a_suspect_leads_to_another_start(self) -> None:
        self.scaled()
        (observer,) = self.ask(b"a")
        self.process.events.went_silent(SILENT)
        self.process.batches.clear()
        self.process.exit(SILENT)
        self.clock.advance(1)
        self.process.load()
        self.stage.turn()
        self.process.answer()
        self.assertEqual(([b"a"], [WorkerState.READY]), (observer.bodies, self.states))

    def test_suspect_may_be_stopped(self) -> None:
        self.scaled()
        self.process.ends_when_told = True
        self.process.events.went_silent(SILENT)
        self.version.pool.scale(0, 0)
        self.assertTrue(self.process.is_stopping or self.process.is_gone)

    def test_silence_while_it_loads_changes_nothing(self) -> None:
        self.version.pool.scale(1, 1)
        self.process.events.went_silent(SILENT)
        self.process.events.heard_again()
        self.assertEqual([WorkerState.STARTING], self.states)
        self.process.load()
        self.assertEqual([WorkerState.READY], self.states)


class DistantTests(WorkerTestCase):
    """How much a worker on another machine has in hand."""

    def distant(self, under_way: int) -> None:
        """A worker with a way to it, whose calls take a millisecond."""
        self.version.pool.scale(1, 1)
        self.process.place = WorkerPlace("b", "192.0.2.1")
        self.process.goes_ahead = False
        self.process.under_way = under_way
        self.process.load()
        self.stage.turn()

    def in_hand(self, jobs: int) -> int:
        """How many batches it has, once it was measured and so many jobs wait."""
        self.ask(b"first")
        self.assertEqual(1, len(self.process.batches))
        self.process.answer(seconds=0.001)
        self.ask(*[b"%d" % number for number in range(jobs)])
        return len(self.process.batches)

    def test_the_way_is_filled(self) -> None:
        for under_way in (0, 1, 3):
            self.setUp()
            self.distant(under_way)
            self.assertEqual(1 + under_way, self.in_hand(9))

    def test_it_is_described_with_its_place(self) -> None:
        self.distant(0)
        (worker,) = self.version.pool.describe()
        self.assertEqual((None, "b"), (worker.pid, worker.place and worker.place.node))
