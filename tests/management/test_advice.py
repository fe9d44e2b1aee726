"""Advice on batch size, delay and workers: its laws, and what comes of it in a simulation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any
from unittest import TestCase

import hypothesis.strategies as st
from attrs import evolve
from hypothesis import given

from modelserver.management.advice import (
    FARTHEST,
    FEWEST_REQUESTS,
    LEAST_GAIN,
    Aims,
    Choice,
    Line,
    Observed,
    Sharing,
    SizeSeen,
    advise,
    at_rate,
    fit,
    of_callers,
)
from modelserver.version_settings.values import AUTO_DELAY
from tests.harness.batch_simulation import Simulation

LINES = st.builds(Line, st.floats(0.001, 0.1), st.floats(0, 0.02))
CHOICES = st.builds(
    Choice, st.sampled_from([1, 2, 8, 32]), st.sampled_from([0.0, 0.01, 0.1, AUTO_DELAY]), st.integers(1, 4)
)


def seen_with(line: Line, callers: float, sizes: Mapping[int, int], **more: Any) -> Observed:
    """What was seen of a handler with these times, with so many calls of each size."""
    counted = {size: SizeSeen(calls, calls * line.of(size)) for size, calls in sizes.items()}
    observed = Observed(
        requests=sum(size * calls for size, calls in sizes.items()),
        seconds=0.0,
        sizes=counted,
        squares=sum(seen.seconds**2 / seen.calls for seen in counted.values()),
        current=Choice(max(sizes), 0.0, 1),
        processors=4,
    )
    return evolve(observed, seconds=observed.handler * callers, **more)


class AdviseTests(TestCase):
    """``advise``."""

    def test_little_data_is_no_data(self) -> None:
        few = seen_with(Line(0.01, 0), 4, {1: FEWEST_REQUESTS - 1})
        self.assertEqual("not enough data", advise(few).verdict)
        idle = seen_with(Line(0.01, 0), 4, {1: 500}, current=Choice(1, 0.0, 0))
        self.assertEqual("not enough data", advise(idle).verdict)

    def test_larger_batches_for_many_callers_of_a_handler_that_takes_as_long_for_any(self) -> None:
        advice = advise(seen_with(Line(0.01, 0), 64, {4: 20, 8: 100}))
        self.assertEqual("change", advice.verdict)
        self.assertEqual(32, advice.recommended.batch_size)
        self.assertGreater(advice.gain, 1)

    def test_none_where_batches_save_nothing_and_processors_are_taken(self) -> None:
        advice = advise(seen_with(Line(0.0, 0.01), 64, {1: 50, 2: 50, 4: 50}, processors=1))
        self.assertEqual("no change", advice.verdict)

    def test_workers_that_wait_for_others_do_not_share_processors(self) -> None:
        seen = seen_with(Line(0.0, 0.01), 64, {1: 50, 2: 50, 4: 50}, processors=2)
        computing, waiting = (advise(evolve(seen, computing=share)) for share in (1.0, 0.1))
        self.assertEqual([2, 2], [advice.recommended.workers for advice in (computing, waiting)])
        self.assertLess(computing.gain, 0.6)
        self.assertGreater(waiting.gain, 0.9)

    def test_a_lone_caller_is_not_kept_waiting(self) -> None:
        alone = seen_with(Line(0.005, 0), 21, {1: 300}, current=Choice(32, 0.1, 1))
        alone = evolve(alone, seconds=alone.handler * 1.4)
        advice = advise(alone)
        self.assertEqual("change", advice.verdict)
        self.assertIn(advice.recommended.delay, (0.0, AUTO_DELAY))

    def test_of_one_size_nothing_is_promised(self) -> None:
        advice = advise(seen_with(Line(0.01, 0), 64, {1: 500}, processors=1))
        self.assertEqual("no change", advice.verdict)
        self.assertIn("Only batches of 1", advice.notes[0])

    def test_a_rate_takes_as_few_workers_as_keep_its_limit(self) -> None:
        seen = seen_with(Line(0.02, 0.001), 8, {1: 100, 4: 100})
        for rate in (20.0, 400.0):
            with self.subTest(rate):
                advice = advise(seen, Aims(p99=0.2, rate=rate))
                assert advice.then is not None
                self.assertLessEqual(advice.then.p99, 0.2)
                self.assertGreaterEqual(advice.then.rate, rate)

    def test_what_cannot_be_kept_is_told(self) -> None:
        advice = advise(seen_with(Line(0.1, 0), 8, {1: 100, 4: 100}), Aims(p99=0.01))
        self.assertEqual("no change", advice.verdict)
        self.assertIn("p99", advice.reason)

    @given(
        LINES,
        st.floats(1, 200),
        st.dictionaries(st.sampled_from([1, 2, 4, 8, 32]), st.integers(1, 500), min_size=1),
        st.none() | st.floats(0.001, 1),
        st.none() | st.floats(1, 1000),
    )
    def test_laws(
        self,
        line: Line,
        callers: float,
        sizes: dict[int, int],
        p99: float | None,
        rate: float | None,
    ) -> None:
        advice = advise(seen_with(line, callers, sizes), Aims(p99, rate))
        if advice.verdict != "change":
            self.assertEqual(advice.current, advice.recommended)
            return
        assert advice.then is not None
        self.assertGreaterEqual(advice.gain, LEAST_GAIN)
        self.assertLessEqual(advice.then.p99, p99 or float("inf"))
        self.assertLessEqual(advice.recommended.batch_size, FARTHEST * max(sizes))


class PredictionTests(TestCase):
    """The model alone."""

    @given(LINES, CHOICES, st.floats(1, 200))
    def test_callers_are_in_the_system_all_the_time(self, line: Line, choice: Choice, callers: float) -> None:
        found = of_callers(line, 0.0, choice, callers, Sharing(4))
        self.assertAlmostEqual(1, found.rate * found.p99 / callers, 6)

    @given(LINES, CHOICES, st.floats(1, 1000))
    def test_a_higher_rate_takes_no_less(self, line: Line, choice: Choice, rate: float) -> None:
        slow, fast = (at_rate(line, 0.1, choice, each, Sharing(4)) for each in (rate, rate * 1.5))
        if choice.delay in (0.0, AUTO_DELAY) or choice.batch_size == 1:
            self.assertLessEqual(slow.p99, fast.p99 * 1.0001)

    @given(st.floats(0.001, 0.1), st.floats(0.0001, 0.01))
    def test_a_line_is_found_again(self, fixed: float, each: float) -> None:
        line = Line(fixed, each)
        found = fit({size: SizeSeen(9, 9 * line.of(size)) for size in (1, 4, 16)})
        self.assertAlmostEqual(1, found.of(32) / line.of(32), 6)

    def test_first_calls_do_not_count(self) -> None:
        found = fit({1: SizeSeen(1, 3.0), 4: SizeSeen(50, 0.5), 8: SizeSeen(50, 0.6)})
        self.assertAlmostEqual(0.012, found.of(8))


class SimulatedTests(TestCase):
    """Settings that are recommended after some load, against a grid of settings under the same callers."""

    def check(self, handler: Callable[[int], float], callers: int) -> None:
        """Simulate a load, take the advice, and compare what comes of it with the best of the grid."""
        advice = advise(self.observed(handler, callers), Aims(p99=0.5))
        best = max(self.rate(handler, callers, choice) for choice in self.grid())
        self.assertGreater(self.rate(handler, callers, advice.recommended), 0.95 * best)

    def grid(self) -> Iterator[Choice]:
        """Settings that are tried."""
        for size, delay, workers in product((1, 8, 32, 64), (0.0, AUTO_DELAY), (1, 2)):
            yield Choice(size, delay, workers)

    def rate(self, handler: Callable[[int], float], callers: int, choice: Choice) -> float:
        """Requests a second with these settings."""
        return self.simulation(handler, callers, choice).run(0.3)

    def simulation(self, handler: Callable[[int], float], callers: int, choice: Choice) -> Simulation:
        """The callers with these settings."""
        pauses = [0.0003 + 0.00001 * (number % 20) for number in range(callers)]
        return Simulation(handler, pauses, choice.batch_size, choice.delay, choice.workers)

    def observed(self, handler: Callable[[int], float], callers: int) -> Observed:
        """What is seen of some callers, then of all, with batches of up to 16."""
        current = Choice(16, AUTO_DELAY, 1)
        calls: list[tuple[int, float]] = []
        for count in (callers // 8, callers // 4, callers):
            run = self.simulation(handler, count, current)
            run.run(0.3)
            calls += run.calls
        sizes = {
            size: SizeSeen(len(times), sum(times))
            for size in {size for size, _ in calls}
            if (times := [seconds for each, seconds in calls if each == size])
        }
        return Observed(
            requests=sum(size for size, _ in calls),
            seconds=callers * sum(seconds for _, seconds in calls),
            sizes=sizes,
            squares=sum(seconds**2 for _, seconds in calls),
            current=current,
            processors=3,
        )

    def test_a_handler_that_takes_as_long_for_any(self) -> None:
        self.check(lambda size: 0.010, 64)

    def test_a_handler_that_takes_more_for_more(self) -> None:
        self.check(lambda size: 0.004 + 0.0005 * size, 64)

    def test_a_handler_for_which_batches_save_nothing(self) -> None:
        self.check(lambda size: 0.002 * size, 16)
