"""The last minutes: rates, quantiles and steps of a chart."""

from __future__ import annotations

from bisect import bisect_left

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from modelserver.metrics.figures import NO_SECONDS, Counts, Figures, VersionFigures
from modelserver.metrics.history import KEPT, QUANTILES, STEP, History, counts_of, grown, quantiles
from modelserver.metrics.tallies import SECONDS

KEY = ("noop", "1.0")


def counts_for(values: list[float]) -> Counts:
    """The buckets of these seconds."""
    counts = list(NO_SECONDS)
    for value in values:
        counts[bisect_left(SECONDS, value)] += 1
    return tuple(counts)


class QuantileTests(SynchronousTestCase):
    """Quantiles of buckets."""

    def test_of_nothing(self) -> None:
        self.assertEqual(quantiles(NO_SECONDS), (None, None, None))

    def test_between_the_bounds_of_a_bucket(self) -> None:
        # 100 values from 50 to 100 ms: histogram_quantile(0.5) is in the middle.
        half, _, _ = quantiles(counts_for([0.06] * 100))
        self.assertAlmostEqual(half or 0.0, 0.075)

    def test_above_all_bounds_there_is_the_last_one(self) -> None:
        self.assertEqual(quantiles(counts_for([500.0])), (120.0, 120.0, 120.0))

    @given(st.lists(st.floats(0.0, 110.0), min_size=1, max_size=200))
    def test_each_is_in_the_bucket_of_the_value_of_its_rank(self, values: list[float]) -> None:
        ordered = sorted(values)
        for share, found in zip(QUANTILES, quantiles(counts_for(values)), strict=True):
            rank = share * len(ordered)
            value = ordered[max(0, -int(-rank // 1) - 1)]
            upper = bisect_left(SECONDS, value)
            lower = SECONDS[upper - 1] if upper else 0.0
            assert found is not None
            self.assertTrue(lower <= found <= SECONDS[upper] + 1e-9, (value, found))


class HistoryTests(SynchronousTestCase):
    """Points, windows and charts."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.values: list[float] = []
        self.refused = 0
        self.history = History(self.clock, self.read)

    def read(self) -> Figures:
        version = VersionFigures(requests=counts_for(self.values))
        return Figures(versions={KEY: version}, refusals={("noop", "deadline"): self.refused})

    def pass_step(self, requests: int = 0, seconds: float = 0.06) -> None:
        self.values += [seconds] * requests
        self.clock.advance(STEP)
        self.history.note()

    def test_without_a_point_there_is_no_way_back(self) -> None:
        self.assertIsNone(self.history.back(1.0))
        self.assertEqual(list(self.history.chart(None)), [])
        self.assertEqual(counts_of(None, KEY), NO_SECONDS)

    def test_rates_of_steps(self) -> None:
        self.history.note()
        for requests in (0, 10, 5):
            self.pass_step(requests)
        steps = list(self.history.chart(KEY))
        self.assertEqual([(step.at, step.rate) for step in steps], [(5.0, 0.0), (10.0, 2.0), (15.0, 1.0)])
        self.assertEqual(steps[0].quantiles, (None, None, None))
        self.assertEqual([step.rate for step in self.history.chart(None, 1)], [1.0])
        self.assertEqual([step.rate for step in self.history.chart(("other", "1.0"))], [0.0, 0.0, 0.0])

    def test_what_is_too_old_is_forgotten(self) -> None:
        for _ in range(200):
            self.pass_step(1)
        oldest = self.history.back(10_000.0)
        assert oldest is not None
        self.assertEqual(self.clock.seconds() - oldest.at, KEPT)
        self.assertEqual(len(list(self.history.chart(None))), KEPT / STEP)
        self.assertEqual(self.history.noted, 200)

    def test_the_way_back_is_at_least_as_long_as_wanted(self) -> None:
        for _ in range(10):
            self.pass_step()
        self.clock.advance(1.0)
        self.assertEqual(
            [getattr(self.history.back(back), "at", None) for back in (1, 2, 6, 7, 999)], [50, 45, 45, 40, 5]
        )

    def test_equal_counts_are_kept_once(self) -> None:
        self.pass_step(3)
        self.pass_step(0)
        first, second = self.history.back(STEP), self.history.back(0.0)
        assert first is not None and second is not None
        self.assertIs(first.versions[KEY], second.versions[KEY])

    def test_a_version_that_was_registered_anew_begins_at_nothing(self) -> None:
        self.assertEqual(grown(counts_for([0.2]), counts_for([0.2] * 5)), counts_for([0.2]))
        self.assertEqual(grown(counts_for([0.2] * 5), counts_for([0.2])), counts_for([0.2] * 4))
