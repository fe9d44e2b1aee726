"""The ways to start workers are compared with the first one."""

from __future__ import annotations

from unittest import TestCase

import attrs

from bench.processes import Memory
from bench.template import Way, middle, sheet

SPAWNED = Way(
    name="spawn",
    register=2.0,
    scale=16.0,
    recovery=2.0,
    one=Memory(0, 500_000_000, 1),
    all=Memory(0, 4_000_000_000, 8),
    tree=Memory(0, 4_100_000_000, 9),
    answers=("0x1p0",),
    load=0.5,
)
FORKED = attrs.evolve(SPAWNED, name="template, model", register=2.25, all=Memory(0, 625_000_000, 8))


class TemplateTests(TestCase):
    """Ratios, and whether the answers are the same."""

    def row(self, way: Way) -> dict[str, str]:
        made = sheet([SPAWNED, way])
        return dict(zip(made.columns, made.rows[1], strict=True))

    def test_register_and_memory_are_compared_with_spawned_workers(self) -> None:
        row = self.row(FORKED)
        self.assertEqual((row["register / spawned"], row["PSS of 8 / 1 spawned"]), ("1.12", "1.25"))

    def test_other_answers_stand_out(self) -> None:
        self.assertEqual(self.row(FORKED)["same answers"], "yes")
        self.assertEqual(self.row(attrs.evolve(FORKED, answers=("0x1p1",)))["same answers"], "NO")

    def test_times_are_medians_of_the_rounds(self) -> None:
        rounds = [attrs.evolve(FORKED, scale=seconds) for seconds in (4.0, 1.0, 2.0)]
        self.assertEqual(middle(rounds).scale, 2.0)

    def test_rounds_that_answer_differently_have_no_answers(self) -> None:
        self.assertEqual(middle([FORKED, attrs.evolve(FORKED, answers=("0x1p1",))]).answers, ())
