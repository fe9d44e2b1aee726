"""A worker's life: one process and one timer at most, whatever happens."""

from __future__ import annotations

from modelserver.errors import NoWorkers, WorkersFailed
from modelserver.jobs import Answer, Job
from modelserver.spec import WorkerFailure, WorkerState
from modelserver.testing.providers import CollectingObserver, make_job
from tests.harness.workers import CRASH, WorkerTestCase


class ServingTests(WorkerTestCase):
    """A worker that is well."""

    def test_it_starts_loads_and_answers(self) -> None:
        self.version.pool.scale(1, 1)
        self.assertEqual(self.states, [WorkerState.STARTING])
        self.process.load()
        self.assertEqual(self.states, [WorkerState.READY])
        (observer,) = self.ask(b"a")
        self.process.answer()
        self.assertEqual(observer.bodies, [b"a"])

    def test_jobs_wait_for_a_worker_that_starts(self) -> None:
        self.version.pool.scale(1, 1)
        (observer,) = self.ask(b"a")
        self.process.load()
        self.stage.turn()
        self.process.answer()
        self.assertEqual(observer.bodies, [b"a"])

    def test_a_slow_worker_gets_one_batch_at_a_time(self) -> None:
        self.scaled()
        self.ask(b"a", b"b", b"c")
        self.assertEqual(len(self.process.batches), 1)
        self.process.answer(seconds=0.5)
        self.assertEqual(len(self.process.batches), 1)

    def test_a_fast_worker_gets_batches_ahead(self) -> None:
        for seconds, ahead in ((0.05, 1), (0.001, 8), (0.0001, 32)):
            self.setUp()
            self.scaled()
            self.ask(b"a")
            self.process.answer(seconds=seconds)
            self.ask(*[b"%d" % number for number in range(ahead)], b"one more")
            self.assertEqual(len(self.process.batches), ahead)

    def test_batches_of_one_travel_together_and_are_answered_as_they_are_done(self) -> None:
        self.scaled()
        self.ask(b"a")
        self.process.answer(seconds=0.0001)
        observers = self.ask(b"b", b"c", b"d")
        numbers = {number for number, _ in self.process.batches}
        self.assertEqual((len(self.process.batches), len(numbers)), (3, 1))
        self.process.answer(seconds=0.0001)
        self.assertEqual([observer.bodies for observer in observers], [[b"b"], [], []])
        (number,) = numbers
        two = [Answer(200, b"", b"C"), Answer(200, b"", b"D")]
        self.process.events.answered(number, two, 0.0002)
        self.process.events.turn_ended()
        self.assertEqual([observer.bodies for observer in observers], [[b"b"], [b"C"], [b"D"]])
        self.assertEqual(self.stage.recorder.counts["batch_finished", self.version.spec.name], 4)

    def test_the_worker_gets_more_before_clients_are_told(self) -> None:
        self.scaled()
        self.ask(b"a", b"b")

        class Told(CollectingObserver):
            def completed(observer, job: Job, answer: Answer) -> None:
                super().completed(job, answer)
                self.assertEqual([len(worker.batches) for worker in self.stage.backend.workers], [1])

        told = Told()
        self.version.pool.put(make_job(b"c", self.clock.seconds(), told))
        self.stage.turn()
        for _ in range(2):
            self.process.answer()
        self.ask(b"d")
        self.process.answer()
        self.assertEqual(told.bodies, [b"c"])

    def test_answers_that_came_before_the_end_are_handed_out(self) -> None:
        self.scaled()
        (observer,) = self.ask(b"a")
        self.process.answer(end_turn=False)
        self.assertEqual(observer.bodies, [])
        self.process.exit(WorkerFailure("signal", 0.0, signal="SIGKILL"))
        self.assertEqual(observer.bodies, [b"a"])

    def test_what_waits_is_shared_out_among_workers(self) -> None:
        self.scaled(2)
        for _ in range(2):
            self.ask(b"a", b"b")
            for worker in self.stage.backend.workers:
                worker.answer(seconds=0.0001)
        self.ask(*[b"%d" % number for number in range(6)])
        self.assertEqual([len(worker.batches) for worker in self.stage.backend.workers], [3, 3])

    def test_where_many_wait_a_worker_gets_more_ahead(self) -> None:
        self.scaled()
        self.ask(b"a")
        self.process.answer(seconds=0.01)
        self.ask(*[b"%d" % number for number in range(6)])
        self.assertEqual(len(self.process.batches), 2)
        self.ask(*[b"%d" % number for number in range(20)])
        self.assertEqual(len(self.process.batches), 8)

    def test_work_goes_to_the_worker_with_the_least_in_hand(self) -> None:
        self.scaled(2)
        self.ask(b"a", b"b")
        self.assertEqual([len(worker.batches) for worker in self.stage.backend.workers], [1, 1])

    def test_no_worker_at_all_refuses_at_once(self) -> None:
        with self.assertRaises(NoWorkers):
            self.ask(b"a")

    def test_scale_to_zero_answers_who_waits(self) -> None:
        self.scaled()
        first, second = self.ask(b"a", b"b")
        self.version.pool.scale(0, 0)
        self.assertEqual([type(error) for error in second.errors], [NoWorkers])
        self.process.answer()
        self.assertEqual(first.bodies, [b"a"])
        self.assertTrue(self.process.is_gone)


class StoppingTests(WorkerTestCase):
    """A worker that is to leave."""

    def test_it_finishes_what_it_has(self) -> None:
        self.scaled()
        (observer,) = self.ask(b"a")
        gone = self.version.pool.close()
        self.assertFalse(self.process.is_stopping)
        self.process.answer()
        self.assertEqual(observer.bodies, [b"a"])
        self.successResultOf(gone)

    def test_it_is_not_waited_for_longer_than_told(self) -> None:
        self.scaled()
        (observer,) = self.ask(b"a")
        gone = self.version.pool.close(drain=1.0)
        self.clock.advance(1)
        self.assertEqual(len(observer.errors), 1)
        self.successResultOf(gone)

    def test_one_that_does_not_listen_is_killed(self) -> None:
        self.scaled()
        self.process.ends_when_told = False
        gone = self.version.pool.close()
        self.assertNoResult(gone)
        self.clock.advance(4)
        self.successResultOf(gone)

    def test_the_newest_leave_first(self) -> None:
        self.scaled(3)
        ids = [worker.id for worker in self.version.pool.workers]
        self.version.pool.scale(1, 1)
        self.assertEqual([worker.id for worker in self.version.pool.workers], ids[:1])

    def test_one_that_waits_to_restart_leaves_at_once(self) -> None:
        self.scaled()
        self.process.exit(CRASH)
        self.successResultOf(self.version.pool.close())
        self.clock.advance(600)
        self.assertEqual(len(self.stage.backend.workers), 1)


class SettlingTests(WorkerTestCase):
    """Whoever asked for workers learns what became of it."""

    def test_it_settles_when_all_are_ready(self) -> None:
        self.version.pool.scale(2, 2)
        settled = self.version.pool.when_settled()
        self.stage.backend.workers[0].load()
        self.assertNoResult(settled)
        self.stage.backend.workers[1].load()
        self.successResultOf(settled)

    def test_it_fails_when_one_cannot_load(self) -> None:
        self.version.pool.scale(2, 2)
        settled = self.version.pool.when_settled()
        self.stage.backend.workers[0].exit(WorkerFailure("load", 0.0, exception="ValueError", text="no"))
        error = self.failureResultOf(settled, WorkersFailed).value
        self.assertEqual(error.failure.exception, "ValueError")

    def test_cancelling_is_allowed(self) -> None:
        self.version.pool.scale(1, 1)
        settled = self.version.pool.when_settled()
        settled.addErrback(lambda failure: None)
        settled.cancel()
        self.process.load()
