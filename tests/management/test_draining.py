"""A server that is told to stop finishes first."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from modelserver.core.registry import Registry
from modelserver.errors import NoWorkers
from modelserver.management.draining import Draining
from modelserver.testing.providers import CollectingObserver, Stage, make_job, make_spec
from modelserver.version_settings.values import Timeouts


class DrainingTests(SynchronousTestCase):
    """One worker, and what it has when the server is to stop."""

    def setUp(self) -> None:
        self.stage = Stage()
        self.clock = self.stage.clock
        self.registry = Registry()
        self.version = self.stage.version(make_spec(timeouts=Timeouts(response=100.0)))
        self.registry.add(self.version)
        self.version.pool.scale(1, 1)
        self.process = self.stage.backend.last
        self.process.load()
        self.draining = Draining(self.registry, self.clock)

    def ask(self) -> CollectingObserver:
        observer = CollectingObserver()
        self.version.pool.put(make_job(b"a", self.clock.seconds(), observer))
        self.stage.turn()
        return observer

    def announce(self, lag: float) -> Deferred[None]:
        return Deferred.fromCoroutine(self.draining.announce(lag))

    def finish(self, timeout: float) -> Deferred[None]:
        return Deferred.fromCoroutine(self.draining.finish(timeout))

    def test_readiness_fails_first_and_serving_goes_on(self) -> None:
        announced = self.announce(2.0)
        self.assertTrue(self.draining.begun)
        observer = self.ask()
        self.process.answer()
        self.assertEqual(observer.bodies, [b"a"])
        self.assertNoResult(announced)
        self.clock.advance(2)
        self.successResultOf(announced)

    def test_what_is_in_hand_and_queued_is_served(self) -> None:
        observers = [self.ask(), self.ask()]
        finished = self.finish(30.0)
        for _ in observers:
            self.clock.advance(5)
            self.assertNoResult(finished)
            self.process.answer()
        self.clock.advance(1)
        self.successResultOf(finished)
        self.assertEqual([observer.bodies for observer in observers], [[b"a"], [b"a"]])

    def test_what_is_new_is_refused(self) -> None:
        self.ask()
        self.finish(30.0)
        error = self.assertRaises(NoWorkers, self.ask)
        self.assertIn("stopping", str(error))

    def test_a_worker_that_dies_meanwhile_costs_nothing(self) -> None:
        observer = self.ask()
        finished = self.finish(30.0)
        self.process.kill("exit")
        self.clock.advance(1)
        self.stage.backend.last.load()
        self.stage.turn()
        self.stage.backend.last.answer()
        self.clock.advance(1)
        self.successResultOf(finished)
        self.assertEqual(observer.bodies, [b"a"])

    def test_nothing_to_do_is_over_at_once(self) -> None:
        self.successResultOf(self.finish(30.0))

    def test_jobs_that_no_worker_takes_end_without_one(self) -> None:
        self.version.pool.scale(0, 0)
        self.version.pool.scale(1, 1)
        jobs = [make_job(b"a", self.clock.seconds()) for _ in range(2)]
        for job in jobs:
            self.version.pool.put(job)
        self.stage.turn()
        finished = self.finish(30.0)
        jobs[0].cancel()
        self.stage.turn()
        self.assertNoResult(finished)
        jobs[1].fail(NoWorkers("noop", "1.0", "nobody waits"))
        self.stage.turn()
        self.successResultOf(finished)

    def test_a_job_that_is_tried_again_may_leave(self) -> None:
        observer = CollectingObserver()
        job = make_job(b"a", self.clock.seconds(), observer)
        self.version.pool.put(job)
        self.stage.turn()
        finished = self.finish(30.0)
        self.process.kill("exit")
        self.stage.turn()
        self.assertNoResult(finished)
        job.cancel()
        self.stage.turn()
        self.successResultOf(finished)

    def test_the_time_is_bounded(self) -> None:
        self.ask()
        finished = self.finish(2.0)
        self.clock.pump([0.5] * 5)
        self.successResultOf(finished)

    def test_a_second_signal_ends_it_at_once(self) -> None:
        observer = self.ask()
        finished = self.finish(30.0)
        self.draining.stop_now()
        self.successResultOf(finished)
        self.assertTrue(self.process.is_gone)
        self.assertEqual(len(observer.errors), 1)

    def test_also_while_it_is_announced(self) -> None:
        announced = self.announce(10.0)
        self.draining.stop_now()
        self.successResultOf(announced)
        self.successResultOf(self.finish(30.0))
        self.stage.turn()
        self.assertEqual(self.clock.getDelayedCalls(), [])
