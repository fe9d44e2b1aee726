"""A model file becomes a program that answers the same."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from modelserver.child.handlers.conversion import Order, convert, main
from tests.child.handlers.test_base_handler import DOUBLE, ArchiveTestCase
from tests.harness.packages import needs_torch

MIXES = DOUBLE.replace("x * self.factor", "x * self.factor if float(x.sum()) > 1e6 else x")


@needs_torch
class ConversionTests(ArchiveTestCase):
    """What the converting process does."""

    def order(self, **more: Any) -> Order:
        """An order for the archive in ``folder``."""
        values: dict[str, Any] = {
            "folder": str(self.folder),
            "model_file": "double_model.py",
            "weights": None,
            "example": {"shapes": [[3]]},
            "least": 1,
            "most": 4,
            "is_compiled": False,
            "target": str(self.folder / "double.pt2"),
        }
        return Order(**{**values, **more})

    def test_program_is_served_with_the_same_answers(self) -> None:
        self.write_model()
        result = convert(self.order())
        self.assertEqual(
            (result["batches"], result["compared"], result["largestDifference"]), ("1 to 4", [1, 4], 0.0)
        )
        for times in ("loadSeconds", "callSeconds"):
            self.assertEqual(set(result[times]), {"eager", "pt2"})  # type: ignore[call-overload]  # a mapping
        handler = self.loaded(serializedFile="double.pt2")
        self.assertEqual(handler.model.bounds, (1, 4))
        self.assertEqual(handler.handle([{"body": [1.0, 2.0, 3.0]}], self.context), [[2.0, 4.0, 6.0]])

    def test_one_size(self) -> None:
        self.write_model()
        result = convert(self.order(least=2, most=2))
        self.assertEqual((result["batches"], result["compared"]), ("exactly 2", [2]))

    def test_model_that_cannot_be_exported_is_told(self) -> None:
        self.write_model(MIXES)
        order, told = self.folder / "order.json", self.folder / "result.json"
        order.write_text(json.dumps(self.order()._asdict()))
        before, path = os.getcwd(), list(sys.path)
        self.addCleanup(os.chdir, before)
        self.addCleanup(lambda: sys.path.__setitem__(slice(None), path))
        main(str(order), str(told))
        self.assertEqual(set(json.loads(told.read_text())), {"error"})
        self.assertFalse((self.folder / "double.pt2").exists())
