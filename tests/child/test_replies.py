"""From what a handler returned or raised to answers that may be written as they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from unittest import TestCase

from attrs import define, field

from modelserver import frames
from modelserver.child.replies import ReplyRow, answer_rows, encode, failed_rows, part_rows
from modelserver.jobs import Answer


@define
class Chosen:
    """What a handler set for one request."""

    status: int = 200
    phrase: str | None = None
    headers: dict[str, str] = field(factory=dict)

    @property
    def changed(self) -> bool:
        return (self.status, self.phrase, self.headers) != (200, None, {})

    def get_response_headers(self) -> Mapping[str, str]:
        return self.headers

    def get_response_status_code(self) -> int:
        return self.status

    def get_response_status_phrase(self) -> str | None:
        return self.phrase


class PredictionException(Exception):
    """As in the peers."""

    def __init__(self, message: str, error_code: int) -> None:
        super().__init__(message)
        self.message, self.error_code = message, error_code


def error_of(row: ReplyRow) -> list[object]:
    """Code, message, exception and text of an item that failed."""
    flags, answer = row
    assert flags & frames.ERROR, row
    return list(json.loads(bytes(answer.body)))


class ReplyTests(TestCase):
    """Rows of answer frames."""

    def row(self, item: object, chosen: Chosen | None = None, largest: int = 100) -> ReplyRow:
        (row,) = answer_rows([item], [chosen or Chosen()], largest)
        return row

    def test_items_become_bytes(self) -> None:
        for item, body in (
            ("té", "té".encode()),
            (b"a", b"a"),
            (bytearray(b"a"), b"a"),
            ({"a": [1, None]}, b'{\n  "a": [\n    1,\n    null\n  ]\n}'),
            (1.5, b"1.5"),
            (None, b"null"),
        ):
            self.assertEqual((0, Answer(200, b"", body)), self.row(item))

    def test_item_that_cannot_be_serialized_fails_alone(self) -> None:
        rows = answer_rows([object(), "fine"], [Chosen(), Chosen()], 100)
        self.assertEqual([503, "Unsupported model output data type."], error_of(rows[0])[:2])
        self.assertEqual(b"fine", rows[1][1].body)
        deep: list[object] = []
        for _ in range(100_000):
            deep = [deep]
        self.assertEqual("RecursionError", error_of(self.row(deep))[2])
        del deep

    def test_results_that_are_no_list_of_the_right_length(self) -> None:
        for result, message in (
            ("text", "Invalid model predict output"),
            (None, "Invalid model predict output"),
            (("a",), "Invalid model predict output"),
            (["a", "b"], "number of batch response mismatched"),
            ([], "number of batch response mismatched"),
        ):
            (row,) = answer_rows(result, [Chosen()], 100)
            self.assertEqual([503, message], error_of(row)[:2])

    def test_head_of_an_answer(self) -> None:
        chosen = Chosen(201, "Made", {"x-a": "1", "Content-Type": "text/plain", "Connection": "close"})
        self.assertEqual(b"Made\r\nx-a: 1\r\nContent-Type: text/plain\r\n", self.row("a", chosen)[1].head)

    def test_heads_that_would_be_read_as_something_else(self) -> None:
        for chosen in (
            Chosen(headers={"x": "a\r\nb: c"}),
            Chosen(headers={"x": "a\0"}),
            Chosen(headers={"a b": "c"}),
            Chosen(headers={"": "c"}),
            Chosen(headers={"x": "\u20ac"}),
            Chosen(200, "a\r\nb: c"),
            Chosen(100),
            Chosen(99),
            Chosen(1000),
        ):
            self.assertEqual(500, error_of(self.row("a", chosen))[0], chosen)

    def test_answer_without_content_has_no_body(self) -> None:
        for status in (204, 304):
            self.assertEqual(b"", self.row("a", Chosen(status))[1].body)

    def test_answer_that_is_too_large(self) -> None:
        self.assertEqual(b"x" * 100, self.row("x" * 100)[1].body)
        self.assertEqual(500, error_of(self.row("x" * 101))[0])

    def test_exceptions_of_handlers(self) -> None:
        for error, code, message in (
            (ValueError("bad"), 503, "Prediction failed"),
            (PredictionException("no", 400), 400, "no"),
            (PredictionException("no", 413), 507, "no"),
            (MemoryError(), 507, "Out of resources"),
            (RuntimeError("CUDA error"), 507, "Out of resources"),
        ):
            rows = failed_rows(error, 2)
            self.assertEqual([[code, message]] * 2, [error_of(row)[:2] for row in rows])

    def test_parts_of_a_stream(self) -> None:
        rows = part_rows(["a", "b"], [Chosen(), Chosen()], 100)
        self.assertEqual([b"a", b"b"], [answer.body for _, answer in rows])
        self.assertRaises(ValueError, part_rows, ["a"], [Chosen(), Chosen()], 100)
        self.assertRaises(ValueError, part_rows, [object()], [Chosen()], 100)

    def test_tensors_are_saved_by_torch_where_it_is_loaded(self) -> None:
        import torch

        self.assertTrue(encode(torch.zeros(2)).startswith(b"PK"))
