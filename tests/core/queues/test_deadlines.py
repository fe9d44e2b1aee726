"""Jobs with a deadline: told when it is over, and not kept when they are done before."""

from __future__ import annotations

import gc
import weakref

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from modelserver.core.queues.deadlines import Deadlines
from modelserver.core.queues.time_buckets import GRAIN
from modelserver.errors import DeadlinePassed, InternalError
from modelserver.jobs import ASSIGNED, Answer, Job
from modelserver.testing.providers import CollectingObserver, make_job


class DeadlinesTests(SynchronousTestCase):
    """Jobs whose clients wait a minute."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.deadlines = Deadlines(self.clock)

    def watched(self, deadline: float | None = 60.0) -> Job:
        """A job that is watched."""
        job = make_job(b"body", deadline=deadline)
        self.deadlines.watch(job)
        return job

    def test_a_job_that_waits_is_told_that_it_has_not_begun(self) -> None:
        job = self.watched(1.5)
        self.clock.advance(1.5 + GRAIN)
        assert isinstance(job.observer, CollectingObserver)
        (error,) = job.observer.errors
        assert isinstance(error, DeadlinePassed)
        self.assertFalse(error.started)

    def test_a_job_that_a_worker_has_is_told_that_it_has(self) -> None:
        job = self.watched(1.5)
        job.state = ASSIGNED
        self.clock.advance(1.5 + GRAIN)
        assert isinstance(job.observer, CollectingObserver)
        (error,) = job.observer.errors
        assert isinstance(error, DeadlinePassed)
        self.assertTrue(error.started)

    def test_a_job_without_a_deadline_is_not_watched(self) -> None:
        self.watched(None)
        self.assertEqual((0, []), (len(self.deadlines), self.clock.getDelayedCalls()))

    def test_a_job_that_is_finished_already_is_not_watched(self) -> None:
        job = make_job(b"", deadline=60.0)
        job.fail(InternalError())
        self.deadlines.watch(job)
        self.assertEqual(0, len(self.deadlines))

    def test_no_way_to_finish_keeps_the_job(self) -> None:
        ends = {
            "answered": lambda job: job.settle(Answer(200, b"", b"")),
            "failed by a worker": lambda job: job.settle(InternalError()),
            "failed": lambda job: job.fail(InternalError()),
            "cancelled": lambda job: job.cancel(),
            "withdrawn": lambda job: job.withdraw(),
        }
        for name, end in ends.items():
            with self.subTest(name):
                job = self.watched()
                end(job)
                kept = weakref.ref(job)
                del job
                gc.collect()
                self.assertIsNone(kept())
                self.assertEqual(0, len(self.deadlines))

    def test_bodies_of_finished_jobs_are_gone_long_before_the_deadline(self) -> None:
        kept = []
        for _ in range(500):
            job = self.watched(3600.0)
            kept.append(weakref.ref(job))
            job.settle(Answer(200, b"", b""))
            self.clock.advance(0.01)
        del job
        gc.collect()
        self.assertEqual([], [each for each in kept if each() is not None])
