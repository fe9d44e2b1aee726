"""Micro-batches keep their order, whatever threads do."""

from __future__ import annotations

import threading
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from modelserver.child.context import Context, RequestProcessor
from modelserver.child.handlers.base_handler import BaseHandler
from modelserver.child.handlers.micro_batching import MicroBatching
from modelserver.child.metrics.torchserve import HandlerMetrics
from tests.harness.handler_metrics import drained


class Steps:
    """A handler that notes in which micro-batch each row was."""

    context: Context | None = None

    def __init__(self, size: int = 2, **parallelism: int) -> None:
        self.handle = MicroBatching(self, size, parallelism)

    def preprocess(self, rows: list[int]) -> list[int]:
        """Add one."""
        return [row + 1 for row in rows]

    def inference(self, rows: list[int]) -> list[int]:
        """Double; a row of 13 cannot be doubled."""
        if 13 in rows:
            raise ValueError("13")
        return [row * 2 for row in rows]

    def postprocess(self, rows: list[int]) -> list[tuple[int, int | None]]:
        """Add the number of the micro-batch."""
        return [(row, self.handle.get_micro_batch_idx()) for row in rows]


class MicroBatchingTests(SynchronousTestCase):
    """The pipeline in place of ``handle``."""

    def made(self, *arguments: Any, **parallelism: int) -> Steps:
        """A handler whose threads end with the test."""
        steps = Steps(*arguments, **parallelism)
        self.addCleanup(steps.handle.shutdown)
        return steps

    def context_for(self, **headers: str) -> Context:
        """A context with one request."""
        context = Context("m", "/d", None, 1, None, "1", metrics=HandlerMetrics(model_name="m"))
        context.request_processor = [RequestProcessor(dict(headers))]
        return context

    def test_rows_come_back_in_order(self) -> None:
        steps, context = self.made(2), self.context_for()
        self.assertEqual(steps.handle([0, 1, 2, 3, 4], context), [(2, 0), (4, 0), (6, 1), (8, 1), (10, 2)])
        self.assertIs(steps.context, context)
        self.assertEqual([record["name"] for record in drained(context)], ["HandlerTime"])

    @settings(max_examples=30)
    @given(
        st.lists(st.integers(20, 1000), max_size=30), st.integers(1, 7), st.integers(1, 3), st.integers(1, 3)
    )
    def test_order_holds_for_every_size(self, rows: list[int], size: int, first: int, second: int) -> None:
        steps = Steps(size, preprocess=first, inference=second)
        answers = steps.handle.handle(rows)
        steps.handle.shutdown()
        self.assertEqual([answer for answer, _ in answers], [(row + 1) * 2 for row in rows])
        self.assertEqual([part for _, part in answers], [place // size for place in range(len(rows))])

    def test_steps_overlap(self) -> None:
        both = threading.Barrier(2)

        class Meeting(Steps):
            def preprocess(self, rows: list[int]) -> list[int]:
                if rows == [1]:
                    both.wait(10)
                return rows

            def inference(self, rows: list[int]) -> list[int]:
                if rows == [0]:
                    both.wait(10)
                return rows

        steps = Meeting(1)
        self.addCleanup(steps.handle.shutdown)
        self.assertEqual(steps.handle.handle([0, 1]), [(0, 0), (1, 1)])

    def test_exception_reaches_the_caller_and_spoils_no_later_batch(self) -> None:
        steps = self.made(1, inference=2)
        self.assertRaises(ValueError, steps.handle.handle, [1, 12, 3])
        self.assertEqual(steps.handle.handle([1]), [(4, 0)])

    def test_parallelism_may_be_set_later(self) -> None:
        steps = self.made(1)
        self.assertEqual(steps.handle.parallelism, {})
        steps.handle.handle([1])
        steps.handle.parallelism = {"inference": 2}
        steps.handle.micro_batch_size = 3
        self.assertEqual(steps.handle.parallelism, {"inference": 2})
        self.assertEqual([part for _, part in steps.handle.handle([1, 2, 3, 4])], [0, 0, 0, 1])

    def test_steps_that_are_not_named_keep_their_threads(self) -> None:
        steps = self.made(1, preprocess=2)
        steps.handle.parallelism = {"inference": 3}
        self.assertEqual(steps.handle.parallelism, {"preprocess": 2, "inference": 3})
        steps.handle.parallelism.clear()
        self.assertEqual(steps.handle.parallelism, {"preprocess": 2, "inference": 3})

    def test_thread_of_somebody_else_has_no_micro_batch(self) -> None:
        self.assertIs(self.made(1).handle.get_micro_batch_idx(), None)

    def test_wrong_parallelism(self) -> None:
        for wrong in ({"bogus": 1}, {"inference": 0}, {"inference": "2"}):
            self.assertRaises(ValueError, MicroBatching, None, 1, wrong)

    def test_descriptions_and_explanations_are_the_handlers_own(self) -> None:
        class Described(BaseHandler):
            def __init__(self) -> None:
                self.handle = MicroBatching(self)  # type: ignore[method-assign]

            def describe_handle(self) -> object:
                return "me"

            def preprocess(self, data: object) -> object:
                return data

            def get_insights(self, prepared: object, inputs: object, target: object) -> object:
                return ["because"]

        handler = Described()
        self.assertEqual(handler.handle([{"body": 1}], self.context_for(describe="True")), ["me"])
        self.assertEqual(handler.handle([{"body": 1}], self.context_for(explain="True")), ["because"])
