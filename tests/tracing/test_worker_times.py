"""What a worker tells of a call, which may be anything."""

from __future__ import annotations

import json
from math import inf, nan

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from modelserver.jobs import CallMarks
from modelserver.tracing.worker_times import MOST_STEPS, CallTimes, Step, read_times

BOUNDS = (10.0, 20.0)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=30,
)


def read(document: dict[str, object]) -> CallTimes:
    """Read what a handler tells."""
    return read_times(CallMarks(10.5, 11.0, 15.0, document), BOUNDS)


class ReadTests(SynchronousTestCase):
    """Reading with care."""

    def test_steps_and_attributes(self) -> None:
        document = {
            "steps": [["inference", 12.0, 14.0, -1, {}], ["tokens", 12.5, 13.0, 0, {"size": 3}]],
            "attributes": {"-1": {"a": "b"}, "2": {"c": True}},
        }
        self.assertEqual(
            CallTimes(
                decode=(10.5, 11.0),
                handler=(11.0, 15.0),
                steps=(Step("inference", 12.0, 14.0), Step("tokens", 12.5, 13.0, 0, {"size": 3})),
                attributes={-1: {"a": "b"}, 2: {"c": True}},
            ),
            read_times(CallMarks(10.5, 11.0, 15.0, document), BOUNDS),
        )

    def test_times_are_brought_between_the_bounds(self) -> None:
        (step,) = read({"steps": [["a", -5, 99.0, -1, {}]]}).steps
        self.assertEqual(BOUNDS, (step.begun, step.ended))

    @given(st.tuples(st.floats(), st.floats(), st.floats()))
    def test_any_times_are_brought_in_their_order(self, times: tuple[float, float, float]) -> None:
        read = read_times(CallMarks(*times), BOUNDS)
        assert read.decode is not None
        (begun, called), (again, returned) = read.decode, read.handler
        self.assertTrue(BOUNDS[0] <= begun <= called == again <= returned <= BOUNDS[1])

    def test_what_the_handler_raised(self) -> None:
        self.assertEqual({"exception.type": "KeyError"}, read({"failed": "KeyError"}).failed)
        self.assertEqual({}, read({"failed": 3}).failed)

    def test_what_cannot_be_is_left_out(self) -> None:
        rows = [
            ["a", nan, 1.0, -1, {}],
            ["a", 1.0, inf, -1, {}],
            ["a", 1.0],
            [3, 1.0, 2.0, -1, {}],
            "a",
            ["a", 1.0, 2.0, "b", {}],
        ]
        self.assertEqual((), read({"steps": rows}).steps)
        (step,) = read({"steps": [["a", 11, 12, 7, {"big": 1 << 80, "list": []}]]}).steps
        self.assertEqual((-1, {}), (step.inside, step.attributes))

    def test_there_are_bounds_for_all(self) -> None:
        many = {str(number): "x" * 5000 for number in range(500)}
        times = read({"steps": [["n" * 500, 11, 12, -1, many]] * 1000})
        self.assertEqual(MOST_STEPS, len(times.steps))
        self.assertLess(len(json.dumps(times.steps[0])), 40_000)

    @given(st.dictionaries(st.sampled_from(["steps", "attributes"]), JSON))
    @example({"attributes": {"\u00b2": {}, "--5": {}}})
    def test_anything_can_be_read(self, document: dict[str, object]) -> None:
        for number, step in enumerate(read(document).steps):
            self.assertTrue(BOUNDS[0] <= step.begun <= step.ended <= BOUNDS[1])
            self.assertTrue(-1 <= step.inside < max(1, number))

    @given(st.lists(st.lists(JSON, min_size=5, max_size=5), max_size=5))
    def test_any_rows_can_be_read(self, rows: list[list[object]]) -> None:
        self.assertLessEqual(len(read({"steps": rows}).steps), len(rows))
