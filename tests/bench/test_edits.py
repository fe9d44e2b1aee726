"""The edits that are measured are edits of the example as it is."""

from __future__ import annotations

import ast
from unittest import TestCase

from bench.edits import ANSWER, EXAMPLE, FILES, PICTURE


class EditTests(TestCase):
    """What ``python -m bench.edits`` finds in the example."""

    def test_the_files_are_there(self) -> None:
        for name in (*FILES, PICTURE):
            self.assertTrue((EXAMPLE / name).is_file(), name)

    def test_each_edit_is_a_handler_with_another_answer(self) -> None:
        source = (EXAMPLE / "handler.py").read_text("utf-8")
        self.assertEqual(source.count(ANSWER), 1)
        ast.parse(source.replace(ANSWER, '{"digit": 1 // 0,'))
        ast.parse(source.replace(ANSWER, '{"edit": 1, "digit": digit,'))
