"""Whoever waits for a pool to be idle is called once, and without polling."""

from __future__ import annotations

from attrs import define
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from modelserver.core.workers.idle_watch import IdleWatch
from modelserver.testing.providers import make_job


@define
class Work:
    """What a pool has left."""

    is_done: bool = False


class IdleWatchTests(SynchronousTestCase):
    """It fires when the work is done, in a turn of its own."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.work = Work()
        self.watch = IdleWatch(lambda: self.work.is_done, lambda call: self.clock.callLater(0, call))

    def test_nothing_to_do_fires_at_once(self) -> None:
        self.work.is_done = True
        self.successResultOf(self.watch.when_idle(()))

    def test_a_job_that_ends_without_a_worker_is_noticed_in_the_next_turn(self) -> None:
        job = make_job(b"a", 0.0)
        idle = self.watch.when_idle([job])
        self.work.is_done = True
        job.cancel()
        self.assertNoResult(idle)
        self.clock.advance(0)
        self.successResultOf(idle)

    def test_who_does_not_wait_any_more_is_not_called(self) -> None:
        idle, other = self.watch.when_idle(()), self.watch.when_idle(())
        idle.cancel()
        self.failureResultOf(idle, CancelledError)
        self.work.is_done = True
        self.watch.look()
        self.clock.advance(0)
        self.successResultOf(other)

    def test_nothing_happens_while_nobody_waits(self) -> None:
        job = make_job(b"a", 0.0)
        self.watch.watch([job])
        self.watch.look()
        job.cancel()
        self.assertEqual(self.clock.getDelayedCalls(), [])
