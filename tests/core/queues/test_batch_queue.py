"""When a batch leaves, and what may wait."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from modelserver.core.queues.batch_queue import MOST_APART, BatchAggregator
from modelserver.errors import QueueFull, Unregistered
from modelserver.jobs import Job, SharedSlot
from modelserver.protocol.frames import EXPLAIN
from modelserver.testing.providers import CollectingObserver, make_job
from modelserver.version_settings.values import QueueLimits


class BatchAggregatorTests(SynchronousTestCase):
    """A batch leaves when it is full or when its oldest job has waited enough."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.due: list[float] = []
        self.queue = self.make(4, 2.0)

    def make(self, batch_size: int, delay: float, jobs: int = 100, size: int = 0) -> BatchAggregator:
        return BatchAggregator(
            "resnet",
            "1.0",
            batch_size,
            delay,
            QueueLimits(jobs, size),
            self.clock,
            lambda: self.due.append(self.clock.seconds()),
        )

    def put(self, *bodies: bytes) -> list[Job]:
        jobs = [make_job(body, self.clock.seconds()) for body in bodies]
        for job in jobs:
            self.queue.put(job)
        return jobs

    def test_full_batch_is_due_at_once(self) -> None:
        jobs = self.put(b"a", b"b", b"c", b"d", b"e")
        self.assertEqual(self.queue.take(), jobs[:4])
        self.assertEqual(self.queue.take(), [])
        self.assertEqual(self.queue.waiting, 1)

    def test_partial_batch_is_due_after_max_batch_delay(self) -> None:
        jobs = self.put(b"a", b"b", b"c")
        self.assertEqual(self.queue.take(), [])
        self.clock.advance(1)
        self.assertEqual(self.due, [])
        self.clock.advance(1)
        self.assertEqual(self.due, [2.0])
        self.assertEqual(self.queue.take(), jobs)

    def test_predictions_and_explanations_do_not_share_a_batch(self) -> None:
        jobs = self.put(b"a", b"b", b"c", b"d", b"e")
        for job in jobs[2:4]:
            job.request = job.request._replace(flags=EXPLAIN)
        self.assertEqual(self.queue.take(), jobs[:2])
        self.clock.advance(2)
        self.assertEqual(self.queue.take(), jobs[2:4])
        self.assertEqual(self.queue.take(), jobs[4:])

    def test_delay_counts_from_the_arrival_of_the_oldest(self) -> None:
        first = self.put(b"a")
        self.clock.advance(1.5)
        second = self.put(b"b")
        self.assertEqual(self.queue.take(), [])
        self.clock.advance(0.5)
        self.assertEqual(self.queue.take(), first + second)

    def test_for_later_leaves_an_old_batch(self) -> None:
        jobs = self.put(b"a")
        self.clock.advance(5)
        self.assertEqual(self.queue.take(for_later=True), [])
        self.assertEqual(self.queue.take(), jobs)

    def test_batch_size_one_never_waits(self) -> None:
        self.queue = self.make(1, 2.0)
        jobs = self.put(b"a", b"b")
        self.assertEqual(self.queue.take(), jobs[:1])

    def test_batches_of_one_may_be_taken_together(self) -> None:
        queue = self.queue = self.make(1, 0.1)
        self.put(b"a", b"b", b"c")
        self.assertEqual([job.request.body for job in queue.take(most=2)], [b"a", b"b"])
        self.assertEqual([job.request.body for job in queue.take(most=2)], [b"c"])
        self.assertEqual(queue.size, 0)

    def test_large_ones_and_solitary_ones_are_not(self) -> None:
        queue = self.queue = self.make(1, 0.1)
        _, _, _, alone = self.put(b"a", bytes(MOST_APART), b"b", b"c")
        alone.exclusive = True
        taken = [len(queue.take(most=8)) for _ in range(4)]
        self.assertEqual((taken, queue.size), ([1, 1, 1, 1], 0))

    def test_bodies_in_shared_memory_travel_at_no_cost(self) -> None:
        queue = self.queue = self.make(1, 0.1)
        jobs = [make_job(SharedSlot(0, MOST_APART, lambda: None)) for _ in range(3)]
        for job in jobs:
            queue.put(job)
        self.assertEqual(queue.take(most=8), jobs)
        self.assertEqual(queue.size, 0)

    def test_those_whose_clients_left_are_not_taken_along(self) -> None:
        queue = self.queue = self.make(1, 0.1)
        _, gone, _ = self.put(b"a", b"b", b"c")
        gone.cancel()
        self.assertEqual([job.request.body for job in queue.take(most=8)], [b"a", b"c"])
        self.assertEqual(queue.size, 0)

    def test_a_solitary_job_goes_alone_and_holds_nobody_up(self) -> None:
        first = self.put(b"a")
        describe = make_job(b"describe", 0.0)
        describe.exclusive = True
        self.queue.put(describe)
        last = self.put(b"b", b"c", b"d", b"e")
        self.assertEqual(self.queue.take(), first)
        self.assertEqual(self.queue.take(), [describe])
        self.assertEqual(self.queue.take(), last)

    def test_jobs_whose_clients_left_are_never_taken(self) -> None:
        jobs = self.put(b"a", b"b", b"c", b"d", b"e")
        jobs[0].cancel()
        jobs[2].cancel()
        self.assertEqual(self.queue.waiting, 3)
        self.clock.advance(2)
        self.assertEqual(self.queue.take(), [jobs[1], jobs[3], jobs[4]])

    def test_a_full_queue_refuses(self) -> None:
        self.queue = self.make(4, 2.0, jobs=2)
        self.put(b"a", b"b")
        with self.assertRaises(QueueFull) as caught:
            self.put(b"c")
        self.assertEqual(caught.exception.limit_name, "job_queue_size")

    def test_jobs_whose_clients_left_make_room(self) -> None:
        self.queue = self.make(4, 2.0, jobs=2)
        jobs = self.put(b"a", b"b")
        jobs[0].cancel()
        self.put(b"c")
        self.assertEqual(self.queue.waiting, 2)

    def test_bytes_are_limited_too(self) -> None:
        self.queue = self.make(4, 2.0, size=10)
        self.put(b"12345678")
        with self.assertRaises(QueueFull) as caught:
            self.put(b"123")
        self.assertEqual(caught.exception.limit_name, "job_queue_bytes")
        self.clock.advance(2)
        self.queue.take()
        self.assertEqual(self.queue.size, 0)

    def test_what_is_put_back_is_next(self) -> None:
        self.put(b"a", b"b", b"c", b"d")
        batch = self.queue.take()
        later = self.put(b"e")
        self.queue.put_back(batch[2:])
        self.clock.advance(2)
        self.assertEqual(self.queue.take(), batch[2:] + later)

    def test_fail_all_answers_every_job_and_stops_the_timer(self) -> None:
        jobs = self.put(b"a", b"b")
        self.queue.take()
        self.queue.fail_all(Unregistered("resnet"))
        for job in jobs:
            assert isinstance(job.observer, CollectingObserver)
            self.assertEqual(job.observer.reasons, [repr(Unregistered("resnet"))])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_closed_queue_refuses_with_its_reason(self) -> None:
        self.queue.close(Unregistered("resnet"))
        with self.assertRaises(Unregistered):
            self.put(b"a")

    @given(st.integers(1, 5), st.lists(st.sampled_from(["put", "exclusive", "take", "wait", "cancel"])))
    def test_every_job_leaves_once_and_in_order(self, batch_size: int, steps: list[str]) -> None:
        self.clock = Clock()
        self.queue = self.make(batch_size, 2.0)
        entered: list[Job] = []
        left: list[Job] = []
        cancelled: set[int] = set()
        for number, step in enumerate(steps):
            if step in ("put", "exclusive"):
                job = make_job(b"%d" % number, self.clock.seconds())
                job.exclusive = step == "exclusive"
                self.queue.put(job)
                entered.append(job)
            elif step == "take":
                batch = self.queue.take()
                self.assertLessEqual(len(batch), batch_size)
                self.assertTrue(len(batch) < 2 or not any(job.exclusive for job in batch))
                left += batch
            elif step == "wait":
                self.clock.advance(2)
            elif entered and entered[-1] not in left:
                entered[-1].cancel()
                cancelled.add(id(entered[-1]))
        self.clock.advance(2)
        while batch := self.queue.take():
            left += batch
        self.assertEqual(left, [job for job in entered if id(job) not in cancelled])
