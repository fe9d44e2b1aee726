"""A version without workers that a request wakes: who waits, how long, and what ends the wait."""

from __future__ import annotations

from modelserver.errors import NoWorkers, QueueFull, Unregistered
from modelserver.spec import WorkerFailure, WorkerState
from modelserver.testing.providers import CollectingObserver, make_job
from tests.harness.workers import CRASH, WorkerTestCase

PERMANENT = WorkerFailure("load", 0.0, exception="ImportError", text="no module", permanent=True)


class WakingTestCase(WorkerTestCase):
    """A version that is asleep; ``brought`` says how often workers were to be brought for it."""

    def setUp(self) -> None:
        super().setUp()
        self.fall_asleep()

    def fall_asleep(self, **more: object) -> None:
        """Make the version anew."""
        self.brought = 0
        self.version = self.make(**more)
        self.pool = self.version.pool
        self.pool.waking.open(self.bring, 10.0)

    def bring(self) -> None:
        """Start one worker."""
        self.brought += 1
        self.pool.scale(1, 1)


class WakeTests(WakingTestCase):
    """The way from no worker to an answer."""

    def test_a_request_waits_and_is_answered(self) -> None:
        (observer,) = self.ask(b"a")
        self.assertEqual((self.brought, self.states), (1, [WorkerState.STARTING]))
        self.process.load()
        self.stage.turn()
        self.process.answer()
        self.assertEqual(observer.bodies, [b"a"])
        self.assertFalse(self.pool.waking.is_under_way)

    def test_many_requests_bring_workers_once(self) -> None:
        observers = self.ask(b"a", b"b") + self.ask(b"c")
        self.assertEqual(self.brought, 1)
        self.process.load()
        self.stage.turn()
        while self.process.batches:
            self.process.answer()
        self.assertEqual([observer.bodies for observer in observers], [[b"a"], [b"b"], [b"c"]])

    def test_workers_may_be_brought_later(self) -> None:
        self.pool.waking.open(lambda: None, 10.0)
        (observer,) = self.ask(b"a")
        self.clock.advance(5)
        self.pool.scale(1, 1)
        self.process.load()
        self.stage.turn()
        self.process.answer()
        self.assertEqual(observer.bodies, [b"a"])

    def test_the_queue_has_its_limit(self) -> None:
        self.fall_asleep(job_queue_size=1)
        self.ask(b"a")
        self.assertRaises(QueueFull, self.ask, b"b")

    def test_job_tickets_are_for_workers_that_are_there(self) -> None:
        self.fall_asleep(job_tickets=True)
        self.ask(b"a")
        self.process.load()
        self.stage.turn()
        self.assertRaises(QueueFull, self.ask, b"b")

    def test_without_a_call_for_workers_requests_are_refused(self) -> None:
        self.pool.waking.close()
        self.assertRaises(NoWorkers, self.ask, b"a")


class HeldJobTests(WakingTestCase):
    """What ends the wait of a job other than a worker."""

    def test_each_job_waits_for_its_own_time(self) -> None:
        (first,) = self.ask(b"a")
        self.clock.advance(6)
        (second,) = self.ask(b"b")
        self.clock.advance(4)
        self.assertEqual((len(first.errors), len(second.errors)), (1, 0))
        self.assertIn("no worker has loaded it within 10 s", str(first.errors[0]))
        self.clock.advance(5.5)
        self.assertEqual(second.errors, [])
        self.clock.advance(0.5)
        self.assertEqual(len(second.errors), 1)

    def test_a_job_that_comes_after_the_first_has_given_up_waits_as_long(self) -> None:
        self.ask(b"a")
        self.clock.advance(11)
        (late,) = self.ask(b"b")
        self.clock.advance(9.5)
        self.assertEqual(late.errors, [])
        self.clock.advance(0.5)
        self.assertEqual((len(late.errors), self.brought), (1, 1))

    def test_a_wake_that_brings_nobody_ends_and_may_be_tried_again(self) -> None:
        calls: list[None] = []
        self.pool.waking.open(lambda: calls.append(None), 10.0)
        self.ask(b"a")
        self.clock.advance(10)
        self.assertFalse(self.pool.waking.is_under_way)
        self.ask(b"b")
        self.assertEqual(len(calls), 2)

    def test_a_wake_that_fails_answers_with_its_reason(self) -> None:
        observers = self.ask(b"a", b"b")
        self.pool.waking.fail(NoWorkers("resnet", "1.0", "no room"))
        self.assertEqual(["no room" in each.reasons[0] for each in observers], [True, True])

    def test_a_client_that_left_is_not_waited_for(self) -> None:
        job = make_job(b"a", self.clock.seconds(), CollectingObserver())
        self.pool.waking.open(lambda: None, 10.0)
        self.pool.put(job)
        job.cancel()
        self.clock.advance(10)
        self.assertFalse(self.pool.waking.is_under_way)

    def test_no_timer_is_left_behind(self) -> None:
        self.ask(b"a")
        self.pool.close()
        self.stage.turn()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class FailingWorkerTests(WakingTestCase):
    """Workers that die while they are being brought, or cannot load."""

    def test_a_worker_that_dies_on_its_way_is_started_again_and_nothing_is_lost(self) -> None:
        (observer,) = self.ask(b"a")
        self.process.exit(CRASH)
        self.clock.advance(1)
        self.process.load()
        self.stage.turn()
        self.process.answer()
        self.assertEqual((observer.bodies, self.brought), ([b"a"], 1))

    def test_the_reason_of_workers_that_do_not_come_is_told(self) -> None:
        (observer,) = self.ask(b"a")
        self.clock.pump([8, 2])
        self.assertIn("the last that tried: startup timeout, ended by SIGKILL", observer.reasons[0])

    def test_a_worker_that_cannot_load_fails_the_version_and_is_not_brought_again(self) -> None:
        (observer,) = self.ask(b"a")
        self.process.exit(PERMANENT)
        self.assertIn("no module", observer.reasons[0])
        self.assertRaises(NoWorkers, self.ask, b"b")
        self.clock.advance(1000)
        self.assertEqual((self.brought, len(self.stage.backend.workers)), (1, 1))
        self.assertFalse(self.pool.is_on_call)

    def test_a_job_of_a_leaving_worker_that_dies_wakes_the_version(self) -> None:
        self.fall_asleep(retry_on_worker_death=1)
        (observer,) = self.ask(b"a")
        self.process.load()
        self.stage.turn()
        self.pool.scale(0, 0)
        self.process.exit(CRASH)
        self.stage.turn()
        self.assertEqual(self.brought, 2)
        self.process.load()
        self.stage.turn()
        self.process.answer()
        self.assertEqual(observer.bodies, [b"a"])

    def test_jobs_that_wait_when_the_last_worker_is_taken_away_bring_another(self) -> None:
        self.ask(b"a")
        (waiting,) = self.ask(b"b")
        self.pool.scale(0, 0)
        self.stage.turn()
        self.assertEqual((self.states, waiting.errors), ([WorkerState.STARTING], []))


class EndTests(WakingTestCase):
    """A version that is unregistered, or a server that stops, wakes for nobody."""

    def test_closing_the_pool_wakes_nobody(self) -> None:
        (observer,) = self.ask(b"a")
        self.version.queue.close(Unregistered("resnet"))
        self.version.queue.fail_all(Unregistered("resnet"))
        self.pool.close()
        self.stage.turn()
        self.assertEqual((len(observer.errors), self.states, self.brought), (1, [], 1))
        self.assertRaises(Unregistered, self.ask, b"b")

    def test_a_queue_that_is_closed_wakes_nobody(self) -> None:
        self.version.queue.close(NoWorkers("resnet", None, "the server is stopping"))
        self.assertRaises(NoWorkers, self.ask, b"a")
        self.assertEqual(self.brought, 0)

    def test_killing_the_pool_wakes_nobody(self) -> None:
        (observer,) = self.ask(b"a")
        self.pool.kill()
        self.stage.turn()
        self.assertEqual((len(observer.errors), self.states, self.brought), (1, [], 1))


class OnCallTests(WakingTestCase):
    """Whether the version counts as ready."""

    def test_asleep_and_on_its_way_it_is(self) -> None:
        self.assertTrue(self.pool.is_on_call)
        self.ask(b"a")
        self.assertTrue(self.pool.is_on_call)

    def test_with_workers_their_state_counts(self) -> None:
        self.ask(b"a")
        self.process.load()
        self.assertFalse(self.pool.is_on_call)
        self.assertEqual(self.pool.ready, 1)

    def test_closed_it_is_not(self) -> None:
        self.pool.waking.close()
        self.assertFalse(self.pool.is_on_call)
