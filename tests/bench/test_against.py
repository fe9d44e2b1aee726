"""Two checkouts are compared by the ratios of bursts that ran one right behind the other."""

from __future__ import annotations

import tempfile
from pathlib import Path
from unittest import TestCase

import pytest

from bench.against import TASKS, Checkout, Comparison, Plan, Round, Task, measure, sheet
from bench.load import Figures
from bench.servers import CHECKOUT, Floor, ModelServer

pytestmark = pytest.mark.slow


def figures(rate: float, cpu: float, errors: int = 0) -> Figures:
    """What a burst came to."""
    return Figures(rate, 0.001, 0.002, cpu, 0.5, int(rate), errors, "", 1.0, "wrk")


class ComparisonTests(TestCase):
    """The table."""

    def test_medians_are_of_the_ratios_of_rounds_not_of_figures(self) -> None:
        """The machine was busy in the second round, for both."""
        rounds = [
            Round(other=figures(1000, 40e-6), own=figures(990, 41e-6)),
            Round(other=figures(500, 80e-6), own=figures(495, 82e-6, errors=1)),
            Round(other=figures(1000, 40e-6), own=figures(400, 90e-6)),
        ]
        found = Comparison(TASKS[0], rounds)
        self.assertAlmostEqual(found.rate, 0.99)
        self.assertAlmostEqual(found.cpu, 1.025)
        self.assertAlmostEqual(found.calm, 1.025)
        (row,) = sheet([found]).rows
        self.assertEqual(row, ("noop", "100", "1", "82.0", "40.0", "1.025", "1.025", "0.990", "1"))

    def test_nothing_answered_is_no_division_by_nothing(self) -> None:
        self.assertEqual(Round(other=figures(0, 0), own=figures(1, 1)).rate, 0.0)

    def test_the_other_checkout_is_the_one_that_is_imported(self) -> None:
        other = Checkout("other", Path("/nowhere"), root=Path("/there"))
        self.assertEqual(other.environment(), {"PYTHONPATH": "/there"})
        self.assertEqual(ModelServer("own", Path("/nowhere")).environment(), {"PYTHONPATH": str(CHECKOUT)})


class BurstTests(TestCase):
    """Real loads, on servers that serve nothing."""

    def test_both_are_loaded_in_each_round(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        folder = Path(temporary.name)
        body = folder / "body"
        body.write_bytes(b"x" * 100)
        servers = [Floor(name, folder / name) for name in ("own", "other")]
        for server in servers:
            server.start()
            self.addCleanup(server.stop)
        found = measure(servers[0], servers[1], Task("noop", 100, 4), body, Plan(2, 1, 1, "sockets"))
        self.assertEqual((len(found.rounds), found.errors), (2, 0))
        for each in found.rounds:
            self.assertGreater(min(each.own.requests, each.other.requests), 0)
