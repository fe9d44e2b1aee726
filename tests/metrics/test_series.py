"""Counters, gauges and histograms as plain numbers."""

from __future__ import annotations

from math import nan

from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from modelserver.metrics.declarations import COUNTER, GAUGE, HISTOGRAM, Declaration
from modelserver.metrics.series import (
    DEFAULT_BOUNDS,
    MOST_SERIES,
    Counter,
    Gauge,
    Histogram,
    Observations,
    new_family,
)

A, B = ("a",), ("b",)


def declared(kind: str) -> Declaration:
    return Declaration("thing", kind, "Count", ("Model", "Hostname"))


class CounterTests(SynchronousTestCase):
    """A counter's series only grow."""

    def setUp(self) -> None:
        self.counter = Counter(declared(COUNTER))

    def test_adds_by_labels(self) -> None:
        for labels, value in ((A, 1), (A, 2.5), (B, 4)):
            self.counter.update(labels, value)
        self.assertEqual(list(self.counter.samples()), [("", A, "", 3.5), ("", B, "", 4)])

    def test_negative_value_is_ignored(self) -> None:
        self.counter.update(A, 3)
        self.counter.update(A, -1)
        self.assertEqual(self.counter.values, {A: 3})

    def test_take_starts_again(self) -> None:
        self.counter.update(A, 3)
        self.assertEqual(self.counter.take(), {A: 3})
        self.counter.update(A, 1)
        self.assertEqual(self.counter.take(), {A: 1})
        self.assertEqual(self.counter.take(), {})

    def test_number_of_series_is_bounded_and_told_once(self) -> None:
        with capturedLogs() as events:
            for number in range(MOST_SERIES + 5):
                self.counter.update((str(number),), 1)
            self.counter.update(("0",), 1)
        self.assertEqual(len(self.counter.values), MOST_SERIES)
        self.assertEqual(self.counter.values["0",], 2)
        self.assertEqual(len(events), 1)


class GaugeTests(SynchronousTestCase):
    """A gauge holds the last value."""

    def test_sets(self) -> None:
        gauge = Gauge(declared(GAUGE))
        gauge.update(A, 3)
        gauge.update(A, -2)
        self.assertEqual(list(gauge.samples()), [("", A, "", -2)])

    def test_keeps_wanted_series_only(self) -> None:
        gauge = Gauge(declared(GAUGE))
        gauge.update(A, 1)
        gauge.update(B, 2)
        gauge.keep([B, ("c",)])
        self.assertEqual(gauge.values, {B: 2})

    def test_number_of_series_is_bounded(self) -> None:
        gauge = Gauge(declared(GAUGE))
        for number in range(MOST_SERIES + 5):
            gauge.update((str(number),), 1)
        self.assertEqual(len(gauge.take()), MOST_SERIES)


class HistogramTests(SynchronousTestCase):
    """A histogram counts values up to each bound."""

    def test_buckets_are_cumulative_and_bounds_inclusive(self) -> None:
        histogram = Histogram(declared(HISTOGRAM), (1.0, 2.0))
        for value in (0.5, 1.0, 1.5, 7.0, nan):
            histogram.update(A, value)
        self.assertEqual(
            list(histogram.samples()),
            [
                ("_bucket", A, "1.0", 2),
                ("_bucket", A, "2.0", 3),
                ("_bucket", A, "+Inf", 4),
                ("_count", A, "", 4),
                ("_sum", A, "", 10.0),
            ],
        )

    def test_series_add_up(self) -> None:
        histogram, other = Histogram(declared(HISTOGRAM), (1.0,)), Observations((1.0,))
        other.counts, other.total = [2, 1], 5.0
        histogram.add(A, other)
        histogram.add(A, other)
        self.assertEqual((histogram.values[A].counts, histogram.values[A].total), ([4, 2], 10.0))
        self.assertEqual(other.counts, [2, 1])

    @given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32)))
    def test_each_bucket_has_the_values_up_to_its_bound(self, values: list[float]) -> None:
        histogram = Histogram(declared(HISTOGRAM))
        histogram.update(A, 0.0)
        for value in values:
            histogram.update(A, value)
        samples = {bound: number for name, _, bound, number in histogram.samples() if name == "_bucket"}
        for bound in DEFAULT_BOUNDS:
            self.assertEqual(samples[repr(bound)], 1 + sum(value <= bound for value in values))
        self.assertEqual(samples["+Inf"], 1 + len(values))

    def test_number_of_series_is_bounded(self) -> None:
        histogram = Histogram(declared(HISTOGRAM), (1.0,))
        for number in range(MOST_SERIES + 5):
            histogram.update((str(number),), 1)
        histogram.add(("more",), Observations((1.0,)))
        self.assertEqual(len(histogram.values), MOST_SERIES)


class NewFamilyTests(SynchronousTestCase):
    """The declared type decides."""

    def test_types(self) -> None:
        for kind, expected in ((COUNTER, Counter), (GAUGE, Gauge), (HISTOGRAM, Histogram)):
            self.assertIsInstance(new_family(declared(kind)), expected)
