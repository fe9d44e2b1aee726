"""From what a handler returns or raises to the rows of an answer."""

from __future__ import annotations

import json
from typing import Any, cast
from unittest import TestCase

from modelserver.child.context import PredictionException, RequestProcessor
from modelserver.child.data.answers import ReplyRow, answer_rows, failed_rows, part_rows
from modelserver.child.tracebacks import LONGEST
from modelserver.protocol.frames import ERROR, TOO_LARGE

LARGEST = 1000


def processor() -> RequestProcessor:
    return RequestProcessor({})


def told(row: ReplyRow) -> list[object]:
    """The code and message of an item that failed."""
    flags, answer = row
    assert flags == ERROR, row
    found: list[object] = json.loads(bytes(answer.body))
    return found[:2]


class BodyTests(TestCase):
    """``answer_rows``: what becomes of items."""

    def test_items(self) -> None:
        for item, body in (
            (b"\xff", b"\xff"),
            (bytearray(b"x"), b"x"),
            ("grüß", "grüß".encode()),
            ({"ü": [1]}, b'{\n  "\\u00fc": [\n    1\n  ]\n}'),
            (None, b"null"),
            (1.5, b"1.5"),
            (True, b"true"),
        ):
            with self.subTest(item):
                ((flags, answer),) = answer_rows([item], [processor()], LARGEST)
                self.assertEqual(
                    (flags, answer.status, answer.header_block, bytes(answer.body)), (0, 200, b"", body)
                )

    def test_item_that_cannot_be_serialized_fails_alone(self) -> None:
        cycle: list[object] = []
        cycle.append(cycle)
        rows = answer_rows([object(), "x", cycle], [processor() for _ in range(3)], LARGEST)
        self.assertEqual(told(rows[0]), [503, "Unsupported model output data type."])
        self.assertEqual(bytes(rows[1][1].body), b"x")
        self.assertEqual(told(rows[2]), [503, "Unsupported model output data type."])

    def test_item_that_raises_anything_fails_alone(self) -> None:
        class Broken(dict[str, object]):
            def items(self) -> Any:
                raise OSError("what it was read from is gone")

        rows = answer_rows([Broken(a=1), "fine"], [processor(), processor()], 100)
        self.assertEqual(told(rows[0]), [503, "Unsupported model output data type."])
        self.assertEqual(rows[1][1].body, b"fine")

    def test_item_that_is_too_large_fails_alone(self) -> None:
        rows = answer_rows(["x" * 1001, "x" * 1000], [processor(), processor()], LARGEST)
        self.assertEqual(rows[0][0], ERROR | TOO_LARGE)
        self.assertEqual(json.loads(bytes(rows[0][1].body)), [1001, 1000])
        self.assertEqual(rows[1][0], 0)

    def test_no_list_and_wrong_number(self) -> None:
        for result, message in (
            ("x", "Invalid model predict output"),
            (("x",), "Invalid model predict output"),
            (None, "Invalid model predict output"),
            ([], "number of batch response mismatched"),
            (["x", "y"], "number of batch response mismatched"),
        ):
            with self.subTest(result):
                (row,) = answer_rows(result, [processor()], LARGEST)
                self.assertEqual(told(row), [503, message])

    def test_parts_need_one_for_each_request(self) -> None:
        with self.assertRaises(ValueError):
            part_rows(["a"], [processor(), processor()], LARGEST)
        with self.assertRaises(ValueError):
            part_rows([object()], [processor()], LARGEST)


class HeadTests(TestCase):
    """Status, phrase and headers of an item, checked."""

    def head(self, **headers: str) -> ReplyRow:
        made = processor()
        for name, value in headers.items():
            made.add_response_property(name.replace("_", "-"), value)
        (row,) = answer_rows(["x"], [made], LARGEST)
        return row

    def test_header(self) -> None:
        self.assertEqual(self.head(X_Own="ü")[1].header_block, "\r\nX-Own: ü\r\n".encode("latin-1"))

    def test_headers_of_the_server_are_its_own(self) -> None:
        for name in ("Content-Length", "connection", "Transfer-Encoding", "X-Request-Id", "Pragma"):
            with self.subTest(name):
                self.assertNotIn(b"evil", self.head(**{name: "evil"})[1].header_block)

    def test_illegal_headers(self) -> None:
        for name, value in (
            ("X", "a\r\nY: b"),
            ("X", "a\n"),
            ("X", "\0"),
            ("X Y", "a"),
            ("X:", "a"),
            ("", "a"),
            (None, "a"),
            (5, "a"),
            (b"X", "a"),
            ("X", 0.5),
            ("X", None),
            ("X", b"a"),
        ):
            with self.subTest(name, value=value):
                made = processor()
                made.add_response_property(name, value)  # type: ignore[arg-type]  # handlers are not checked
                (row,) = answer_rows(["x"], [made], LARGEST)
                self.assertEqual(told(row), [500, f"The handler set an illegal header: {name!r}"])

    def test_status_and_phrase(self) -> None:
        made = processor()
        made.report_status(418, "teapot")
        ((_, answer),) = answer_rows(["x"], [made], LARGEST)
        self.assertEqual((answer.status, answer.header_block), (418, b"teapot\r\n"))

    def test_illegal_status(self) -> None:
        for code, phrase in (
            *((99, ""), (1000, ""), (200, "a\r\nb")),
            *((None, ""), ("many", ""), (float("inf"), ""), (200, 5), (200, b"OK")),
        ):
            with self.subTest(code):
                made = processor()
                made.report_status(code, phrase)  # type: ignore[arg-type]  # handlers are not checked
                (row,) = answer_rows(["x"], [made], LARGEST)
                self.assertEqual(told(row)[0], 500)


class FailureTests(TestCase):
    """``failed_rows``: the peers' codes and texts."""

    def test_texts_hold_no_escapes(self) -> None:
        for error, message, text in (
            (RuntimeError("\x1b[31mred\x1b[0m"), "Prediction failed", "red"),
            (PredictionException("\x1b[1mbold", 422), "bold", "bold : 422"),
        ):
            ((_, answer),) = failed_rows(error, 1)
            _, *found = json.loads(bytes(answer.body))
            self.assertEqual(found, [message, type(error).__name__, text])

    def test_failures(self) -> None:
        for error, code, message in (
            (ValueError("x"), 503, "Prediction failed"),
            (MemoryError(), 507, "Out of resources"),
            (RuntimeError("CUDA error: out of memory"), 507, "Out of resources"),
            (PredictionException("no", 599), 599, "no"),
            (PredictionException("no", 413), 413, "no"),
            (PredictionException("no"), 500, "no"),
            (PredictionException("no", -1), 500, "no"),
            (PredictionException("no", 2**40), 500, "no"),
        ):
            with self.subTest(repr(error)):
                rows = failed_rows(error, 2)
                self.assertEqual([told(row) for row in rows], [[code, message]] * 2)

    def test_text_that_cannot_be_made(self) -> None:
        class Mute(Exception):
            def __str__(self) -> str:
                raise SystemExit(4)

        class MuteRefusal(PredictionException, Mute):
            pass

        for error, message in (
            (Mute(), "Prediction failed"),
            (MuteRefusal(cast(str, Mute()), 503), "(Mute has no text: its __str__ raises SystemExit)"),
        ):
            (row,) = failed_rows(error, 1)
            self.assertEqual(told(row), [503, message])
            self.assertIn("has no text", json.loads(bytes(row[1].body))[3])

    def test_longest_texts_lose_their_middle(self) -> None:
        for error in (ValueError("x" * 5_000_000), PredictionException("x" * 5_000_000)):
            (row,) = failed_rows(error, 1)
            self.assertLess(len(row[1].body), 3 * LONGEST)
            self.assertIn(b"x ... (49", bytes(row[1].body))

    def test_exception_is_told_beside(self) -> None:
        (row,) = failed_rows(ValueError("x"), 1)
        self.assertEqual(json.loads(bytes(row[1].body))[2:], ["ValueError", "x"])
