"""What is watched is told of when its time is over, never early, and leaves nothing behind when it leaves."""

from __future__ import annotations

import gc
import sys

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from modelserver.core.queues.time_buckets import FARTHEST, GRAIN, Bucket, TimeBuckets


class TimeBucketsTests(SynchronousTestCase):
    """Buckets of names."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.told: list[tuple[str, float]] = []
        self.places: dict[str, Bucket[str]] = {}
        self.buckets: TimeBuckets[str] = TimeBuckets(
            self.clock, self.places.__setitem__, lambda name: self.told.append((name, self.clock.seconds()))
        )

    def advance_to(self, time: float) -> None:
        """Let every timer until then go off at its time."""
        while self.clock.calls and self.clock.calls[0].getTime() <= time:
            self.clock.advance(self.clock.calls[0].getTime() - self.clock.seconds())
        self.clock.advance(time - self.clock.seconds())

    def test_the_time_of_one_is_over(self) -> None:
        self.buckets.add("a", 1.0)
        self.advance_to(0.999)
        self.assertEqual([], self.told)
        self.advance_to(1.0 + GRAIN)
        self.assertEqual(["a"], [name for name, _ in self.told])

    def test_one_that_has_left_is_not_told_of(self) -> None:
        self.buckets.add("a", 1.0)
        self.places["a"].leave("a")
        self.advance_to(2.0)
        self.assertEqual(([], 0), (self.told, len(self.buckets)))

    def test_one_of_the_far_future_moves_from_bucket_to_bucket_and_can_leave_at_any_time(self) -> None:
        self.buckets.add("a", 5000.0)
        first = self.places["a"]
        self.advance_to(4999.5)
        self.assertIsNot(first, self.places["a"])
        self.places["a"].leave("a")
        self.advance_to(5001.0)
        self.assertEqual([], self.told)

    def test_one_whose_time_is_over_already_is_told_of_at_once(self) -> None:
        self.clock.advance(10.0)
        self.buckets.add("a", 3.0)
        self.advance_to(10.0 + GRAIN)
        self.assertEqual(["a"], [name for name, _ in self.told])

    def test_telling_of_one_may_have_another_leave(self) -> None:
        def leave(name: str) -> None:
            self.told.append((name, 0.0))
            other = "b" if name == "a" else "a"
            self.places[other].leave(other)

        self.buckets.expired = leave
        self.buckets.add("a", 1.0)
        self.buckets.add("b", 1.0)
        self.advance_to(2.0)
        self.assertEqual(1, len(self.told))

    def test_one_timer_runs_and_none_after_the_last(self) -> None:
        for number in range(50):
            self.buckets.add(str(number), number / 10)
        self.assertEqual(1, len(self.clock.getDelayedCalls()))
        self.advance_to(6.0)
        self.assertEqual((50, []), (len(self.told), self.clock.getDelayedCalls()))

    def test_nothing_is_told_after_stop(self) -> None:
        self.buckets.add("a", 1.0)
        self.buckets.stop()
        self.advance_to(2.0)
        self.assertEqual(([], []), (self.told, self.clock.getDelayedCalls()))

    def test_an_emptied_bucket_takes_no_more_than_a_new_one(self) -> None:
        for number in range(1000):
            self.buckets.add(str(number), 50.0)
        bucket = self.places["0"]
        for number in range(1000):
            bucket.leave(str(number))
        gc.collect()
        self.assertLessEqual(sys.getsizeof(bucket), sys.getsizeof(Bucket[str]()) + 64)

    def test_there_are_few_buckets_whatever_times_are_asked_for(self) -> None:
        for number in range(20_000):
            name = str(number)
            self.buckets.add(name, 10.0 * number**2)
            self.places[name].leave(name)
        self.assertLess(len(self.buckets._buckets), FARTHEST / 30 + 400)

    @given(st.lists(st.tuples(st.floats(0.0, 200_000.0), st.booleans()), max_size=30))
    def test_each_is_told_of_once_in_its_grain(self, items: list[tuple[float, bool]]) -> None:
        self.setUp()
        for number, (at, leaves) in enumerate(items):
            self.buckets.add(str(number), at)
            if leaves:
                self.places[str(number)].leave(str(number))
        self.advance_to(200_001.0)
        expected = {str(number): at for number, (at, leaves) in enumerate(items) if not leaves}
        self.assertEqual(sorted(expected), sorted(name for name, _ in self.told))
        for name, told_at in self.told:
            self.assertGreaterEqual(told_at, expected[name])
            self.assertLessEqual(told_at, expected[name] + 2 * GRAIN)
