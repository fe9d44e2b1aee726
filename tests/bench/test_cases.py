"""The cases hang together: bodies, handlers and answers of the lengths they promise."""

from __future__ import annotations

import importlib
import importlib.util
import tempfile
from pathlib import Path
from unittest import TestCase

from bench.cases import CASES, QUICK


class CaseTests(TestCase):
    """Every case can be run as it is written."""

    def test_every_case_has_a_quick_form(self) -> None:
        self.assertEqual(set(QUICK), {case.name for case in CASES})

    def test_bodies_are_as_long_as_they_say(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for case in CASES:
                path = case.write_body(Path(folder))
                self.assertEqual(path.stat().st_size if path else 0, case.body)

    def test_handlers_answer_each_request_with_the_promised_length(self) -> None:
        for case in CASES:
            if not case.handler or (case.handler == "cnn" and importlib.util.find_spec("torch") is None):
                continue
            with self.subTest(case.name):
                handle = importlib.import_module(f"bench.handlers.{case.handler}").handle
                self.assertIsNone(handle(None, None))
                rows = [{"body": (bytes(range(64)) * (case.body // 64 + 1))[: case.body]}] * case.batch_size
                self.assertEqual([len(one) for one in handle(rows, None)], [case.length] * case.batch_size)

    def test_ideal_is_what_the_handlers_own_time_allows(self) -> None:
        wait = next(case for case in CASES if case.name == "wait32")
        self.assertEqual(wait.ideal(2), 6400.0)

    def test_nothing_is_ideal_for_a_handler_that_takes_no_time(self) -> None:
        noop = next(case for case in CASES if case.name == "noop")
        self.assertEqual(noop.ideal(1), 0.0)
