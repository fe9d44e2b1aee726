"""What a worker notes of a traced call."""

from __future__ import annotations

import json
from unittest import TestCase

from modelserver.child.call_trace import MOST_STEPS, CallTrace
from modelserver.child.context import Context


def steps(trace: CallTrace) -> list[tuple[object, object]]:
    """Name and parent of each step, as they go to the server."""
    rows = json.loads(json.dumps(trace.marks().more))["steps"]
    return [(name, inside) for name, begun, ended, inside, _ in rows if begun <= ended]


class StepTests(TestCase):
    """Steps and their order."""

    def test_steps_within_steps(self) -> None:
        trace = CallTrace([0], 0.0)
        with trace.span("a"):
            with trace.span("b"), trace.span("c"):
                pass
            with trace.span("d"):
                pass
        with trace.span("e"):
            pass
        self.assertEqual([("a", -1), ("b", 0), ("c", 1), ("d", 0), ("e", -1)], steps(trace))

    def test_a_step_is_no_part_of_another_call(self) -> None:
        first, second = CallTrace([0], 0.0), CallTrace([0], 0.0)
        with first.span("a"), second.span("b"):
            pass
        self.assertEqual([("b", -1)], steps(second))

    def test_exception_is_told_and_goes_on(self) -> None:
        trace = CallTrace([0], 0.0)
        with self.assertRaises(KeyError), trace.span("a", {"size": 3}):
            raise KeyError("x")
        (row,) = json.loads(json.dumps(trace.marks().more))["steps"]
        self.assertEqual({"size": 3, "exception.type": "KeyError"}, row[4])

    def test_steps_are_bounded(self) -> None:
        trace = CallTrace([0], 0.0)
        for _ in range(3 * MOST_STEPS):
            with trace.span("a"), trace.span("b"):
                pass
        self.assertEqual(MOST_STEPS, len(steps(trace)))

    def test_attributes_are_what_json_has(self) -> None:
        trace = CallTrace([0], 0.0)
        with trace.span("a", {"kept": 1.5, "shown": [1]}) as step:
            step.set_attribute("more", None)
        (row,) = json.loads(json.dumps(trace.marks().more))["steps"]
        self.assertEqual({"kept": 1.5, "shown": "[1]", "more": "None"}, row[4])

    def test_attributes_of_requests_have_their_places_in_the_batch(self) -> None:
        trace = CallTrace([0, 2], 0.0)  # the one between was refused
        trace.set_attribute("of", "all")
        trace.set_attribute("of", "one", 1)
        self.assertEqual({-1: {"of": "all"}, 2: {"of": "one"}}, trace.marks().more["attributes"])


class HandlerTests(TestCase):
    """The handler's call itself."""

    def test_nothing_more_is_told_of_a_handler_that_tells_nothing(self) -> None:
        trace = CallTrace([0], 0.0)
        with trace:
            pass
        begun, called, returned, more = trace.marks()
        self.assertEqual((True, {}), (begun < called <= returned, more))

    def test_what_it_raises_is_told_and_goes_on(self) -> None:
        trace = CallTrace([0], 0.0)
        with self.assertRaises(KeyError), trace:
            raise KeyError("x")
        self.assertEqual({"failed": "KeyError"}, trace.marks().more)


class ContextTests(TestCase):
    """What handlers ask."""

    def test_nothing_is_kept_where_nothing_is_traced(self) -> None:
        context = Context("m", "/m", None, 1, None, "1")
        context.set_trace_attribute("a", 1)
        with context.trace_span("a") as step:
            step.set_attribute("b", 2)
        self.assertIsNone(context.trace)

    def test_steps_of_a_traced_call(self) -> None:
        context = Context("m", "/m", None, 1, None, "1")
        context.made_trace = trace = CallTrace([0], 0.0)
        with context.trace_span("a"):
            context.set_trace_attribute("b", 2)
        self.assertEqual([("a", -1)], steps(trace))
