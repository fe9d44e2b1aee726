"""A queue that is full says so, and when to come back."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from modelserver.core.queues.drain_rate import DrainRate
from modelserver.core.version import ModelVersion
from modelserver.core.workers.retry_after import LONGEST_RETRY
from modelserver.errors import QueueFull
from modelserver.testing.providers import CollectingObserver, MemoryWorker, Stage, make_job, make_spec


class OverloadTests(SynchronousTestCase):
    """Pools with small queues."""

    def setUp(self) -> None:
        self.stage = Stage()

    def scaled(self, **more: Any) -> ModelVersion:
        version = self.stage.version(make_spec(**more))
        version.pool.scale(1, 1)
        self.process.load()
        self.stage.turn()
        return version

    @property
    def process(self) -> MemoryWorker:
        return self.stage.backend.last

    def put(self, version: ModelVersion, body: bytes = b"a") -> CollectingObserver:
        observer = CollectingObserver()
        version.pool.put(make_job(body, self.stage.clock.seconds(), observer))
        self.stage.turn()
        return observer

    def refusal(self, version: ModelVersion, body: bytes = b"a") -> QueueFull:
        refusal = self.assertRaises(QueueFull, self.put, version, body)
        assert isinstance(refusal, QueueFull)
        return refusal

    def test_the_limit_that_was_hit_is_named(self) -> None:
        version = self.scaled(job_queue_size=1)
        self.put(version)
        self.put(version)
        error = self.refusal(version)
        self.assertEqual((error.limit_name, error.limit), ("job_queue_size", 1))

    def test_bytes_are_limited_too(self) -> None:
        version = self.scaled(job_queue_size=100, job_queue_bytes=10)
        self.put(version, b"x" * 10)
        self.put(version, b"x" * 10)
        error = self.refusal(version)
        self.assertEqual((error.limit_name, error.limit), ("job_queue_bytes", 10))

    def test_a_client_who_left_makes_room(self) -> None:
        version = self.scaled(job_queue_size=1)
        self.put(version)
        job = make_job(b"b", 0.0)
        version.pool.put(job)
        job.cancel()
        self.put(version)

    def test_in_a_long_queue_room_is_found_after_some_refusals(self) -> None:
        version = self.scaled(job_queue_size=64)
        self.put(version)
        jobs = [make_job(b"b", 0.0) for _ in range(64)]
        for job in jobs:
            version.pool.put(job)
        for job in jobs:
            job.cancel()
        for _ in range(3):
            self.refusal(version)
        self.put(version)

    def test_retry_after_is_measured(self) -> None:
        version = self.scaled(job_queue_size=9)
        for _ in range(10):
            self.put(version)
        self.refusal(version)
        for _ in range(4):
            self.stage.clock.advance(0.5)
            self.process.answer(seconds=0.5)
            self.stage.turn()
            self.put(version)
        self.assertEqual(self.refusal(version).retry_after, 5.0)

    def test_before_there_is_a_measurement_the_handlers_time_counts(self) -> None:
        version = self.scaled(job_queue_size=3)
        self.put(version)
        self.process.answer(seconds=2.0)
        for _ in range(4):
            self.put(version)
        self.assertEqual(self.refusal(version).retry_after, 8.0)

    def test_nobody_is_told_to_wait_for_ever(self) -> None:
        version = self.scaled(job_queue_size=3)
        self.put(version)
        self.process.answer(seconds=10_000.0)
        for _ in range(4):
            self.put(version)
        self.assertEqual(self.refusal(version).retry_after, LONGEST_RETRY)

    def test_with_job_tickets_only_an_idle_worker_accepts(self) -> None:
        version = self.scaled(job_tickets=True)
        self.put(version)
        self.assertEqual(self.refusal(version).limit_name, "job ticket")
        self.process.answer()
        self.put(version)

    def test_two_at_once_need_two_tickets(self) -> None:
        version = self.scaled(job_tickets=True)
        version.pool.put(make_job(b"a", 0.0))
        with self.assertRaises(QueueFull):
            version.pool.put(make_job(b"b", 0.0))


class DrainRateTests(SynchronousTestCase):
    """The measurement itself."""

    def test_it_is_of_the_last_seconds(self) -> None:
        rate = DrainRate()
        self.assertIsNone(rate.seconds_for(1, 0.0))
        rate.finished = 1000
        self.assertEqual(rate.seconds_for(100, 1.0), 0.1)
        self.assertIsNone(rate.seconds_for(100, 50.0))
        rate.finished += 10
        self.assertEqual(rate.seconds_for(100, 51.0), 10.0)
