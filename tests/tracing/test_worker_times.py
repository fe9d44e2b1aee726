"""What a worker tells of a call, which may be anything."""

from __future__ import annotations

import json
from math import inf, nan

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from modelserver.tracing.worker_times import MOST_STEPS, CallTimes, Step, read_times

BOUNDS = (10.0, 20.0)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=30,
)


class ReadTests(SynchronousTestCase):
    """Reading with care."""

    def test_steps_and_attributes(self) -> None:
        document = {
            "steps": [["handler", 11.0, 15.0, -1, {}], ["inference", 12.0, 14.0, 0, {"size": 3}]],
            "attributes": {"-1": {"a": "b"}, "2": {"c": True}},
        }
        self.assertEqual(
            CallTimes(
                (Step("handler", 11.0, 15.0), Step("inference", 12.0, 14.0, 0, {"size": 3})),
                {-1: {"a": "b"}, 2: {"c": True}},
            ),
            read_times(document, BOUNDS),
        )

    def test_times_are_brought_between_the_bounds(self) -> None:
        (step,) = read_times({"steps": [["a", -5, 99.0, -1, {}]]}, BOUNDS).steps
        self.assertEqual(BOUNDS, (step.begun, step.ended))

    def test_what_cannot_be_is_left_out(self) -> None:
        rows = [
            ["a", nan, 1.0, -1, {}],
            ["a", 1.0, inf, -1, {}],
            ["a", 1.0],
            [3, 1.0, 2.0, -1, {}],
            "a",
            ["a", 1.0, 2.0, "b", {}],
        ]
        self.assertEqual((), read_times({"steps": rows}, BOUNDS).steps)
        (step,) = read_times({"steps": [["a", 11, 12, 7, {"big": 1 << 80, "list": []}]]}, BOUNDS).steps
        self.assertEqual((-1, {}), (step.inside, step.attributes))

    def test_there_are_bounds_for_all(self) -> None:
        many = {str(number): "x" * 5000 for number in range(500)}
        times = read_times({"steps": [["n" * 500, 11, 12, -1, many]] * 1000}, BOUNDS)
        self.assertEqual(MOST_STEPS, len(times.steps))
        self.assertLess(len(json.dumps(times.steps[0])), 40_000)

    @given(st.dictionaries(st.sampled_from(["steps", "attributes"]), JSON))
    def test_anything_can_be_read(self, document: dict[str, object]) -> None:
        for number, step in enumerate(read_times(document, BOUNDS).steps):
            self.assertTrue(BOUNDS[0] <= step.begun <= step.ended <= BOUNDS[1])
            self.assertTrue(-1 <= step.inside < max(1, number))

    @given(st.lists(st.lists(JSON, min_size=5, max_size=5), max_size=5))
    def test_any_rows_can_be_read(self, rows: list[list[object]]) -> None:
        self.assertLessEqual(len(read_times({"steps": rows}, BOUNDS).steps), len(rows))
