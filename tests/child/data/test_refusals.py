"""Rows that a handler refuses: the others are answered all the same."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from modelserver.child.context import Context, PredictionException, RequestProcessor
from modelserver.child.data.answers import answer_rows
from modelserver.child.data.refusals import (
    RowsRefused,
    answers_apart,
    answers_apart_async,
    narrowed,
    opened,
    require_equal,
)
from modelserver.child.loops.calls import handler_call, last_rows
from modelserver.child.metrics.torchserve import HandlerMetrics
from modelserver.protocol import frames


def context_for(count: int) -> Context:
    """A context with requests named by their places."""
    context = Context("m", "/d", None, 8, None, "1", metrics=HandlerMetrics())
    context.request_ids = {place: f"id-{place}" for place in range(count)}
    context.request_processor = [RequestProcessor({"Place": str(place)}) for place in range(count)]
    return context


class RowsRefusedTests(SynchronousTestCase):
    """What a refusal says."""

    def test_texts_become_exceptions_with_the_code(self) -> None:
        refusal = RowsRefused({1: "no image", 2: PredictionException("large", 413)}, 415)
        told = {place: (error.message, error.error_code) for place, error in refusal.refusals.items()}  # type: ignore[attr-defined]  # both are of the one class
        self.assertEqual(told, {1: ("no image", 415), 2: ("large", 413)})
        self.assertEqual((refusal.message, refusal.error_code), ("no image", 415))
        self.assertEqual(refusal.groups(4), [[0, 3]])

    def test_all_refused_leaves_no_group(self) -> None:
        self.assertEqual(RowsRefused({0: "x"}).groups(1), [])

    def test_rows_that_there_are_not(self) -> None:
        for refusal in (
            RowsRefused({5: "x"}),
            RowsRefused({}),
            RowsRefused({}, groups=[[0, 1, 2]]),
            RowsRefused({}, groups=[[0], [1]]),
            RowsRefused({0: "x"}, groups=[[0, 1, 2]]),
        ):
            self.assertRaises(ValueError, refusal.groups, 3)

    def test_opening_tells_whose_fault_it_is(self) -> None:
        self.assertEqual(opened(["1", "2"], int), [1, 2])
        refusal = self.assertRaises(RowsRefused, opened, ["1", "x", "3", None], int)
        self.assertEqual(sorted(refusal.refusals), [1, 3])
        self.assertEqual({error.error_code for error in refusal.refusals.values()}, {400})

    def test_want_of_memory_is_not_called_a_bad_request(self) -> None:
        def open_row(row: object) -> None:
            raise MemoryError

        refusal = self.assertRaises(RowsRefused, opened, [1], open_row)
        self.assertIsInstance(refusal.refusals[0], MemoryError)

    def test_traits_that_differ_make_groups(self) -> None:
        require_equal([(1,), (1,)])
        refusal = self.assertRaises(RowsRefused, require_equal, [(1,), (2,), (1,)])
        self.assertEqual(refusal.groups(3), [[0, 2], [1]])


class AnswersApartTests(SynchronousTestCase):
    """A handler is called again for those that it did not refuse."""

    def answers(self, handle: Any, data: list[Any]) -> list[Any]:
        """What the loop sends: status and body, or code and text of an error."""
        context = context_for(len(data))
        rows = handler_call(handle, context, last_rows(10_000))(data, context.request_processor)
        return [
            json.loads(bytes(answer.body))[:2] if flags & frames.ERROR else bytes(answer.body)
            for flags, answer in rows
        ]

    def test_others_are_answered_and_know_their_requests(self) -> None:
        def handle(data: list[str], context: Context) -> list[str]:
            opened(data, int)
            return [f"{context.get_request_id(at)} {row}" for at, row in enumerate(data)]

        answers = self.answers(handle, ["x", "7", "y", "8"])
        self.assertEqual([answers[1], answers[3]], [b"id-1 7", b"id-3 8"])
        self.assertEqual([answer[0] for answer in (answers[0], answers[2])], [400, 400])

    def test_status_of_one_answer_is_set_by_its_new_place(self) -> None:
        def handle(data: list[str], context: Context) -> list[str]:
            opened(data, int)
            context.set_response_status(201, "Created", 0)
            return data

        context = context_for(2)
        handler_call(handle, context, last_rows(100))(["x", "7"], context.request_processor)  # type: ignore[arg-type, list-item]  # rows are dicts in a worker
        self.assertEqual([context.get_response_status(at)[0] for at in (0, 1)], [200, 201])

    def test_group_that_fails_fails_alone(self) -> None:
        def handle(data: list[str], context: Context) -> list[str]:
            require_equal([len(row) for row in data])
            if len(data[0]) == 3:
                raise ValueError("not this length")
            return data

        answers = self.answers(handle, ["aa", "bbb", "cc"])
        self.assertEqual(answers, [b"aa", [503, "Prediction failed"], b"cc"])

    def test_refusals_of_refusals(self) -> None:
        def handle(data: list[str], context: Context) -> list[str]:
            require_equal([len(row) for row in data])
            opened(data, int)
            return data

        answers = self.answers(handle, ["1", "22", "x", "3", "yy"])
        self.assertEqual([answers[at] for at in (0, 1, 3)], [b"1", b"22", b"3"])
        self.assertEqual([answers[at][0] for at in (2, 4)], [400, 400])

    def test_wrong_results_of_a_part(self) -> None:
        def handle(data: list[str], context: Context) -> list[str]:
            opened(data, int)
            return data[1:]

        self.assertEqual(
            self.answers(handle, ["1", "2", "x"])[0], [503, "number of batch response mismatched"]
        )

    def test_handler_that_refuses_wrong_rows_fails(self) -> None:
        def handle(data: list[str], context: Context) -> list[str]:
            raise RowsRefused({7: "there is no such row"})

        self.assertEqual([answer[0] for answer in self.answers(handle, ["a", "b"])], [503, 503])

    def test_exception_in_the_place_of_an_answer(self) -> None:
        result = ["a", PredictionException("no image", 415), KeyError("x")]
        rows = answer_rows(result, [RequestProcessor({}) for _ in result], 100)
        self.assertEqual(rows[0][1].body, b"a")
        self.assertEqual(
            [json.loads(bytes(answer.body))[:3] for _, answer in rows[1:]],
            [[415, "no image", "PredictionException"], [503, "Prediction failed", "KeyError"]],
        )

    def test_asynchronous_handler(self) -> None:
        async def handle(data: Any, context: Context) -> object:
            opened(data, int)
            return [row * 2 for row in data]

        refusal = self.assertRaises(RowsRefused, opened, ["1", "x"], int)
        first, second = asyncio.run(answers_apart_async(refusal, handle, ["1", "x"], context_for(2)))
        self.assertEqual(first, "11")
        self.assertEqual(second.error_code, 400)  # type: ignore[attr-defined]  # an exception

    def test_parts_of_a_stream_go_to_whom_they_belong(self) -> None:
        sent: list[object] = []
        context = context_for(3)
        context.send_parts = sent.append
        part = narrowed(context, [2], 3)
        assert part.send_parts is not None
        part.send_parts(["x"])
        self.assertEqual(sent, [[b"", b"", "x"]])
        self.assertRaises(ValueError, part.send_parts, ["x", "y"])

    def test_metrics_of_a_part_name_its_requests(self) -> None:
        context = context_for(2)
        part: Any = narrowed(context, [1], 2)
        part.metrics.add_time("Step", 1.0, 0, "ms")
        metrics: Any = context.metrics
        self.assertEqual([record["request_id"] for record in metrics.drain()], ["id-1"])

    def test_stopping_criteria_keep_their_requests(self) -> None:
        def handle(data: Any, context: Context) -> object:
            context.stopping_criteria = {at: data[at].__eq__ for at in range(len(data))}
            return data

        context = context_for(3)
        answers_apart(RowsRefused({1: "x"}), handle, ["a", "b", "c"], context)
        criteria = context.stopping_criteria
        assert criteria is not None
        self.assertEqual((criteria[0]("a"), criteria[2]("c"), sorted(criteria)), (True, True, [0, 2]))

    @given(st.lists(st.tuples(st.booleans(), st.integers(1, 3)), min_size=1, max_size=8))
    def test_everybody_is_answered_by_what_is_in_his_own_row(self, rows: list[tuple[bool, int]]) -> None:
        def handle(data: Any, context: Context) -> object:
            def open_row(row: tuple[str, bool, int]) -> None:
                if not row[1]:
                    raise ValueError(row[0])

            opened(data, open_row)
            require_equal([row[2] for row in data])
            return [row[0] for row in data]

        data = [(f"row-{place}", *row) for place, row in enumerate(rows)]
        for (name, is_good, _), answer in zip(data, self.answers(handle, data), strict=True):
            self.assertEqual(
                answer, name.encode() if is_good else [400, f"The request cannot be read: {name}"]
            )
