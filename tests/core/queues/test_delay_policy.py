"""How long a batch should wait: the laws of the arithmetic."""

from __future__ import annotations

from unittest import TestCase

import hypothesis.strategies as st
from hypothesis import given

from modelserver.core.queues.delay_policy import (
    WINDOWS,
    FollowUps,
    HandlerTimes,
    best_wait,
    counts_within,
)

COUNTS = st.lists(st.floats(0, 200), min_size=len(WINDOWS), max_size=len(WINDOWS)).map(sorted)
LINES = st.tuples(st.floats(0, 0.1), st.floats(0, 0.02))
NOBODY = [0.0] * len(WINDOWS)


def line(fixed: float, each: float) -> HandlerTimes:
    """Times that were learnt from a handler with these."""
    times = HandlerTimes()
    for size in (1, 2, 4, 8, 16, 32):
        times.learn(size, fixed + each * size)
    return times


class BestWaitTests(TestCase):
    """``best_wait``."""

    @given(st.integers(1, 64), st.integers(1, 64), LINES, COUNTS)
    def test_a_wait_is_shorter_than_a_call(
        self, waiting: int, more: int, handler: tuple[float, float], coming: list[float]
    ) -> None:
        times = line(*handler)
        wait = best_wait(waiting, waiting + more, times.of, coming)
        self.assertTrue(wait == 0 or wait < times.of(waiting))

    @given(st.integers(1, 64), LINES)
    def test_where_nobody_comes_nobody_waits(self, waiting: int, handler: tuple[float, float]) -> None:
        self.assertEqual(0, best_wait(waiting, 128, line(*handler).of, NOBODY))

    @given(st.integers(1, 64), LINES, COUNTS)
    def test_a_full_batch_does_not_wait(
        self, waiting: int, handler: tuple[float, float], coming: list[float]
    ) -> None:
        self.assertEqual(0, best_wait(waiting, waiting, line(*handler).of, coming))

    @given(st.integers(1, 16), st.floats(0.001, 0.02), COUNTS)
    def test_where_batches_save_nothing_nobody_waits(
        self, waiting: int, each: float, coming: list[float]
    ) -> None:
        self.assertEqual(0, best_wait(waiting, 32, lambda size: each * size, coming))

    def test_many_who_come_soon_are_waited_for(self) -> None:
        coming = [min(19.0, 40_000 * window) for window in WINDOWS]
        wait = best_wait(1, 32, lambda size: 0.010, coming)
        self.assertTrue(0.00025 <= wait <= 0.001, wait)

    def test_with_more_workers_less_is_saved(self) -> None:
        coming = [0.6] * len(WINDOWS)
        self.assertGreater(best_wait(1, 8, lambda size: 0.010, coming, 1.0), 0)
        self.assertEqual(0, best_wait(1, 8, lambda size: 0.010, coming, 0.0))


class HandlerTimesTests(TestCase):
    """The line through handler times."""

    @given(st.floats(0.0001, 1), st.floats(0.0001, 0.1), st.floats(1, 64))
    def test_a_line_is_found(self, fixed: float, each: float, size: float) -> None:
        self.assertAlmostEqual(1, line(fixed, each).of(size) / (fixed + each * size), 3)

    @given(st.lists(st.tuples(st.integers(1, 64), st.floats(0, 10)), max_size=50), st.floats(1, 64))
    def test_no_time_is_negative_and_more_take_no_less(
        self, calls: list[tuple[int, float]], size: float
    ) -> None:
        times = HandlerTimes()
        for jobs, seconds in calls:
            times.learn(jobs, seconds)
        self.assertTrue(0 <= times.of(size) <= times.of(size + 1) + 1e-9)

    def test_of_one_size_all_are_taken_to_need_the_same(self) -> None:
        times = HandlerTimes()
        times.learn(8, 0.5)
        self.assertEqual([0.5, 0.5], [times.of(1), times.of(32)])

    def test_late_calls_weigh_more(self) -> None:
        times = HandlerTimes()
        for seconds in (1.0,) * 100 + (0.1,) * 100:
            times.learn(4, seconds)
        self.assertLess(times.of(4), 0.11)


class FollowUpsTests(TestCase):
    """Who comes after a moment."""

    def test_arrivals_count_in_each_window_that_has_them(self) -> None:
        counts = counts_within(10.0, [9.0, 10.0, 10.0004, 10.003, 10.1])
        self.assertEqual([0, 1, 1, 1, 2, 2, 2, 2, 2], counts)

    def test_means_follow_what_comes(self) -> None:
        following = FollowUps()
        for _ in range(30):
            following.learn([4] * len(WINDOWS))
        self.assertAlmostEqual(4, following.means[0], 2)
        for _ in range(10):
            following.learn([0] * len(WINDOWS))
        self.assertLess(following.means[0], 0.5)
