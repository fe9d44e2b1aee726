"""What is odd in one request of an envelope is that request's fault, and nobody else's."""

from __future__ import annotations

import json
from typing import Any
from unittest import TestCase

from modelserver.child.context import Context, PredictionException, RequestProcessor
from modelserver.child.data.refusals import RowsRefused, opened, require_equal
from modelserver.child.envelopes.select import wrap

DEEP = b"[" * 100_000
GOOD = {
    "json": {"instances": [7]},
    "kserve": {"instances": [7]},
    "kservev2": {"inputs": [{"name": "x", "shape": [1], "datatype": "INT64", "data": [7]}]},
}


def nested(depth: int) -> object:
    """A list in a list in a list, as another decoder than ours may let through."""
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


ODD: tuple[tuple[str, object], ...] = (
    ("json", b'{"instances":[{"b64":5}]}'),
    ("json", b'{"instances":[{"x":{"b64":[]}}]}'),
    ("json", DEEP),
    ("json", b'{"instances":' + DEEP),
    ("kserve", DEEP),
    ("kserve", b'{"instances":7}'),
    ("kserve", b"\xff"),
    ("kservev2", DEEP),
    ("kservev2", b'{"inputs":[{"name":"x","shape":[1],"datatype":"INT64","data":' + DEEP),
    ("kservev2", {"inputs": [{"name": "x", "shape": [1] * 5000, "datatype": "INT64", "data": [1]}]}),
    ("kservev2", {"inputs": [{"name": "x", "shape": [1], "datatype": "INT64", "data": nested(5000)}]}),
    ("kservev2", {"inputs": [{"name": "x", "shape": {}, "datatype": [], "data": None}]}),
    ("kservev2", {"inputs": [{"name": "x", "shape": [1], "parameters": {"binary_data_size": -1}}]}),
)


class OneBadRequestTests(TestCase):
    """A batch of three, of which the second is bad."""

    def call(self, name: str, bodies: list[object], handle: Any = lambda rows, context: rows) -> list[Any]:
        """The answers, those in JSON decoded."""
        self.context = Context("m", "/d", {"model": {}}, 4, None, "1")
        self.context.request_ids = {place: f"id-{place}" for place in range(len(bodies))}
        self.context.request_processor = [RequestProcessor({}) for _ in bodies]
        answers: Any = wrap(name, handle)([{"body": body} for body in bodies], self.context)
        return [json.loads(answer) if isinstance(answer, str) else answer for answer in answers]

    def statuses(self) -> list[int]:
        """What the answers' statuses are set to."""
        return [processor.status for processor in self.context.request_processor]

    def test_odd_documents(self) -> None:
        for number, (name, body) in enumerate(ODD):
            with self.subTest(name, number=number):
                good = GOOD[name]
                answers = self.call(name, [good, body, good], lambda rows, context: [7] * len(rows))
                self.assertEqual(self.statuses(), [200, 400, 200])
                self.assertTrue(answers[1]["error"])
                kinds = [self.context.get_response_content_type(place) for place in range(3)]
                self.assertEqual(kinds, [None, "application/json", None])
                self.assertNotIn("error", answers[0])
                self.assertEqual({**answers[0], "id": 0}, {**answers[2], "id": 0})

    def test_answer_that_cannot_be_closed(self) -> None:
        for name in ("json", "kservev2"):
            answers = self.call(name, [GOOD[name]] * 2, lambda rows, context: [7, {1, 2}])
            with self.subTest(name):
                self.assertNotIn("error", answers[0])
                if name == "json":
                    self.assertIsInstance(answers[1], TypeError)

    def test_rows_that_the_handler_refuses(self) -> None:
        def handle(rows: Any, context: Context) -> object:
            return opened(rows, lambda row: int(row["data"][0] if isinstance(row, dict) else row))

        bad = {
            "kserve": {"instances": [7, "x"]},
            "kservev2": {"inputs": [{"name": "x", "shape": [1], "datatype": "BYTES", "data": ["x"]}]},
        }
        for name, body in bad.items():
            with self.subTest(name):
                answers = self.call(name, [GOOD[name], body, GOOD[name]], handle)
                self.assertEqual(self.statuses(), [200, 400, 200])
                self.assertIn("cannot be read", answers[1]["error"])
                self.assertIn("7", str(answers[0]))

    def test_code_of_a_refusal_is_kept(self) -> None:
        def handle(rows: Any, context: Context) -> object:
            refusals = {place: "no image" for place, row in enumerate(rows) if row == "x"}
            if refusals:
                raise RowsRefused(refusals, 415)
            return rows

        answers = self.call("kserve", [{"instances": ["x"]}, {"instances": [1, 2]}], handle)
        self.assertEqual((self.statuses(), answers[1]), ([415, 200], {"predictions": [1, 2]}))

    def test_exception_in_the_place_of_a_result(self) -> None:
        results = [7, PredictionException("no image", 415)]
        for name, body in GOOD.items():
            with self.subTest(name):
                answers = self.call(name, [body] * 2, lambda rows, context: results)
                self.assertEqual(self.statuses(), [200, 415])
                self.assertEqual(answers[1], {"error": "no image"})

    def test_shapes_that_differ_between_requests_and_in_one(self) -> None:
        def handle(rows: Any, context: Context) -> object:
            require_equal([len(row) for row in rows])
            return [sum(row) for row in rows]

        bodies: list[object] = [
            {"instances": [[1], [2]]},
            {"instances": [[1, 2]]},
            {"instances": [[5], [1, 2]]},
            {"instances": []},
        ]
        answers = self.call("kserve", bodies, handle)
        self.assertEqual(answers[:2], [{"predictions": [1, 2]}, {"predictions": [3]}])
        self.assertEqual(self.statuses(), [200, 200, 400, 200])
