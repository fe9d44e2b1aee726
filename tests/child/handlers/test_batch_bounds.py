"""Batches for models that take only some sizes."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from modelserver.archive.pt2_section import BatchBounds, read_bounds
from modelserver.child.handlers.batch_bounds import BoundedModel
from tests.harness.packages import needs_torch


class OptionTests(SynchronousTestCase):
    """The option ``batch``."""

    def test_forms(self) -> None:
        for value, bounds in (
            (None, None),
            (4, BatchBounds(4, 4)),
            ({"min": 2, "max": 8}, BatchBounds(2, 8)),
            ({"max": 8}, BatchBounds(1, 8)),
            ({"min": 2}, BatchBounds(2, None)),
        ):
            self.assertEqual(read_bounds(value), bounds)

    def test_refused(self) -> None:
        for value in ("4", True, 0, -1, 1.5, {"min": 3, "max": 2}, {"least": 1}, {"max": "8"}, [1, 2]):
            with self.subTest(value=value):
                self.assertRaises(ValueError, read_bounds, value)

    def test_words(self) -> None:
        for bounds, words in (
            (BatchBounds(), "any size"),
            (BatchBounds(2), "2 or more"),
            (BatchBounds(3, 3), "exactly 3"),
            (BatchBounds(1, 3), "1 to 3"),
        ):
            self.assertEqual(str(bounds), words)


@needs_torch
class BoundedModelTests(SynchronousTestCase):
    """Rows come out as they went in, whatever the model takes."""

    def setUp(self) -> None:
        self.sizes: list[int] = []

    def double(self, x: Any) -> Any:
        """Twice the rows."""
        self.sizes.append(x.shape[0])
        return x * 2

    def sizes_of(self, rows: int, bounds: BatchBounds) -> list[int]:
        """The batches that the model gets for so many rows; the answer is checked."""
        import torch

        self.sizes = []
        x = torch.arange(rows * 2.0).reshape(rows, 2)
        self.assertTrue(torch.equal(BoundedModel(self.double, bounds)(x), x * 2))
        return self.sizes

    def test_sizes(self) -> None:
        for rows, bounds, sizes in (
            (1, BatchBounds(4, 4), [4]),
            (4, BatchBounds(4, 4), [4]),
            (5, BatchBounds(4, 4), [4, 4]),
            (9, BatchBounds(1, 4), [4, 4, 1]),
            (1, BatchBounds(2), [2]),
            (7, BatchBounds(2), [7]),
        ):
            with self.subTest(rows=rows, bounds=bounds):
                self.assertEqual(self.sizes_of(rows, bounds), sizes)

    def test_padding_repeats_the_last_row(self) -> None:
        import torch

        seen: list[Any] = []

        def model(x: Any) -> Any:
            seen.append(x)
            return x

        BoundedModel(model, BatchBounds(3, 3))(torch.tensor([[1.0], [2.0]]))
        self.assertEqual(seen[0].tolist(), [[1.0], [2.0], [2.0]])

    def test_answers_keep_their_form(self) -> None:
        import torch

        def model(x: Any, *, scale: float) -> Any:
            return {"pair": (x * scale, [x.sum(dim=1)]), "name": "m"}

        answer = BoundedModel(model, BatchBounds(2, 2))(torch.ones(3, 2), scale=2.0)
        self.assertEqual(answer["name"], "m")
        self.assertIsInstance(answer["pair"], tuple)
        self.assertEqual(answer["pair"][0].tolist(), [[2.0, 2.0]] * 3)
        self.assertEqual(answer["pair"][1][0].tolist(), [2.0] * 3)

    def test_batch_that_fits_is_left_alone(self) -> None:
        import torch

        total = BoundedModel(lambda x: x.sum(), BatchBounds(2, 2))(torch.ones(2, 2))
        self.assertEqual(float(total), 4.0)

    def test_answer_without_rows_is_refused_rather_than_guessed(self) -> None:
        import torch

        model = BoundedModel(lambda x: x.sum(), BatchBounds(2, 2))
        error = self.assertRaises(ValueError, model, torch.ones(1, 2))
        self.assertIn("batch of 2", str(error))

    def test_inputs_with_other_first_dimensions_are_no_batch(self) -> None:
        import torch

        model = BoundedModel(lambda x, y: (x.shape[0], y.shape[0]), BatchBounds(4, 4))
        self.assertEqual(model(torch.ones(2, 2), torch.ones(3)), (2, 3))
        self.assertEqual(BoundedModel(lambda x: x.shape[0], BatchBounds(4, 4))(torch.ones(0, 2)), 0)
