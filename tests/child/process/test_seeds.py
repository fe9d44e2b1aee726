"""A forked worker's random numbers are its own."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
import pytest
from twisted.trial.unittest import SynchronousTestCase

from modelserver.child.process.seeds import seed_anew

if TYPE_CHECKING:
    import torch
else:
    torch = pytest.importorskip("torch")


class SeedTests(SynchronousTestCase):
    """Numbers after the same start."""

    def test_generators_are_seeded_anew_each_time(self) -> None:
        drawn = []
        for _ in range(3):
            random.seed(7)
            np.random.seed(7)
            torch.manual_seed(7)
            np.random.standard_normal()  # the second number of a pair is kept
            seed_anew(has_gpu=False)
            drawn.append(
                (random.random(), np.random.standard_normal(), float(torch.rand(())), torch.initial_seed())
            )
        for numbers in zip(*drawn, strict=True):
            self.assertEqual(3, len(set(numbers)), numbers)
