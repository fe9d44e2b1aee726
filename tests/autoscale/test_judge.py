"""What the policy makes of a load over time, with workers and jobs that are numbers."""

from __future__ import annotations

from functools import partial
from math import cos, pi
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from modelserver.autoscale.arrivals import Arrivals, window
from modelserver.autoscale.judge import Judge, Observation
from modelserver.version_settings.values import Autoscaling, WorkerRange
from tests.autoscale.simulation import Simulation, poisson

ON = Autoscaling(enabled=True)


def _always(rate: float, now: float) -> float:
    """A load that does not change."""
    return rate


class SteadyLoadTests(SynchronousTestCase):
    """A load that does not change needs a number of workers that does not."""

    def test_there_is_no_oscillation(self) -> None:
        """
        By chance requests come as fast as those of a higher load, once in a while.

        The same chance each time: at 43 a second, which one worker can just not serve, the direction changes
        up to three times in 20 s.
        """
        turns: dict[int, list[int]] = {}
        for rate in (5, 20, 43, 80, 120, 200, 300):
            for seed in range(4):
                simulation = Simulation(WorkerRange(1, 8))
                simulation.run(20, partial(_always, rate), Random(seed))
                turns.setdefault(rate, []).append(simulation.turns)
        self.assertLessEqual(max(max(each) for each in turns.values()), 3, turns)
        self.assertLess(sum(sum(each) for each in turns.values()), 4 * len(turns), turns)

    @settings(max_examples=12, deadline=None)
    @given(st.integers(5, 300))
    def test_even_requests_are_served_by_the_same_number_after_a_moment(self, rate: int) -> None:
        simulation = Simulation(WorkerRange(1, 8))
        simulation.run(5, lambda now: rate)
        settled = simulation.counts[-1]
        simulation.run(5, lambda now: rate)
        self.assertEqual(simulation.counts[-1], settled)


class StepTests(SynchronousTestCase):
    """A load that is suddenly ten times as high."""

    @settings(max_examples=5, deadline=None)
    @given(st.integers(0, 1000))
    def test_as_many_as_are_needed_are_there_within_a_second(self, seed: int) -> None:
        simulation = Simulation(WorkerRange(1, 4))
        random = Random(seed)
        simulation.run(5, lambda now: 30, random)
        before = simulation.counts[-1]
        simulation.run(1, lambda now: 300, random)
        self.assertEqual(simulation.counts[-1][1], 4, (before, simulation.counts))

    def test_they_go_again_one_delay_after_it(self) -> None:
        simulation = Simulation(WorkerRange(1, 4))
        simulation.run(4, lambda now: 300)
        simulation.run(2, lambda now: 20)
        self.assertEqual(simulation.counts[-1][1], 4)
        simulation.run(6, lambda now: 20)
        self.assertEqual(simulation.counts[-1][1], 1)

    def test_a_worker_that_loads_for_long_is_kept_for_long(self) -> None:
        simulation = Simulation(WorkerRange(1, 4), start=2.0)
        simulation.run(4, lambda now: 300)
        simulation.run(20, lambda now: 20)
        self.assertEqual(simulation.counts[-1][1], 4)


class WaveTests(SynchronousTestCase):
    """A load that comes and goes."""

    def test_fewer_workers_serve_it_nearly_as_well(self) -> None:
        def wave(now: float) -> float:
            return 120 * (1 - cos(2 * pi * now / 60))

        elastic, fixed = Simulation(WorkerRange(1, 4)), Simulation(WorkerRange(4, 4), workers=4)
        for simulation in (elastic, fixed):
            simulation.run(60, wave, Random(1))
        spans = zip(elastic.counts, [*elastic.counts[1:], (elastic.now, 0)], strict=True)
        used = sum(count * (until - since) for (since, count), (until, _) in spans)
        self.assertLess(used, 0.6 * 4 * elastic.now)
        self.assertLess(_p99(elastic) + 0.01, 2 * (_p99(fixed) + 0.01))


def _p99(simulation: Simulation) -> float:
    waits = sorted(wait for _, wait in simulation.waits)
    return waits[len(waits) * 99 // 100]


class IdleTests(SynchronousTestCase):
    """When a version counts as idle."""

    def look(self, now: float, seen: Observation) -> float:
        return self.judge.take_in(now, seen, ON, WorkerRange(0, 4)).idle

    def test_nothing_came_waits_or_is_at_work(self) -> None:
        self.judge = Judge()
        self.assertEqual(self.look(10.0, Observation(1)), 0.0)
        self.assertEqual(self.look(15.0, Observation(1)), 5.0)
        self.assertEqual(self.look(16.0, Observation(1, arrived=1)), 0.0)
        self.assertEqual(self.look(17.0, Observation(1, arrived=1, in_hand=1)), 0.0)
        self.assertEqual(self.look(18.0, Observation(1, arrived=1, waiting=1)), 0.0)
        self.assertEqual(self.look(20.5, Observation(1, arrived=1)), 2.5)


class ArrivalTests(SynchronousTestCase):
    """The rate of requests."""

    def test_it_is_taken_over_a_window(self) -> None:
        arrivals = Arrivals()
        for step in range(100):
            arrivals.note(step * 0.1, step * 2)
        self.assertAlmostEqual(arrivals.rate(0.01), 20.0, delta=0.01)

    def test_a_jump_counts_at_once(self) -> None:
        arrivals = Arrivals()
        for step in range(100):
            arrivals.note(step * 0.1, step * 2)
        for step in range(1, 3):
            arrivals.note(9.9 + step * 0.1, 198 + step * 20)
        self.assertAlmostEqual(arrivals.rate(0.01), 200.0, delta=0.01)

    def test_a_late_look_makes_no_jump_of_what_came_meanwhile(self) -> None:
        arrivals = Arrivals()
        for step in range(100):
            arrivals.note(step * 0.1, step * 20)
        arrivals.note(10.6, 106 * 20)
        self.assertAlmostEqual(arrivals.rate(0.01), 200.0, delta=0.01)

    def test_what_wakes_a_version_came_just_now(self) -> None:
        for was_asleep, rate in ((True, 450.0), (False, 1.0)):
            arrivals = Arrivals()
            arrivals.note(0.0, 10)
            arrivals.note(90.0, 100, was_asleep)
            self.assertAlmostEqual(arrivals.rate(0.01), rate)

    def test_a_load_that_falls_is_told_as_it_is_by_now(self) -> None:
        arrivals, arrived = Arrivals(), 0.0
        self.assertIsNone(arrivals.falling_rate(0.01))
        for step in range(121):
            arrivals.note(step * 0.1, int(arrived))
            arrived += (200 - step) * 0.1
        falling = arrivals.falling_rate(0.01)
        assert falling is not None
        self.assertTrue(79.0 < falling < 87.0, falling)
        self.assertLess(falling, arrivals.upper_rate(0.01))

    @settings(max_examples=20, deadline=None)
    @given(st.integers(1, 300), st.integers(0, 1000))
    def test_a_load_that_does_not_fall_is_seldom_taken_for_one_that_does(self, rate: int, seed: int) -> None:
        arrivals, random, arrived, told = Arrivals(), Random(seed), 0, 0
        for step in range(600):
            arrived += poisson(random, rate * 0.1)
            arrivals.note(step * 0.1, arrived)
            told += arrivals.falling_rate(0.01) is not None
        self.assertLess(told, 60)

    def test_a_few_requests_together_are_no_jump(self) -> None:
        arrivals = Arrivals()
        arrivals.note(0.0, 0)
        arrivals.note(0.1, 3)
        self.assertAlmostEqual(arrivals.rate(0.01), 1.5)

    def test_long_calls_are_watched_for_longer(self) -> None:
        self.assertEqual([window(call) for call in (0.001, 1.0, 10.0)], [2.0, 20.0, 60.0])
        arrivals = Arrivals()
        arrivals.note(0.0, 0)
        arrivals.note(1.0, 2)
        self.assertAlmostEqual(arrivals.rate(1.0), 0.1)

    def test_only_the_last_minute_is_remembered(self) -> None:
        arrivals = Arrivals()
        for second in range(1000):
            arrivals.note(float(second), second)
        self.assertLess(len(arrivals._marks), 63)
