"""Tables show rates, ratios and distances to the limit."""

from __future__ import annotations

import json
from io import StringIO
from unittest import TestCase

from rich.console import Console

from bench.cases import CASES, Case
from bench.lifecycle import Life
from bench.load import Figures
from bench.processes import Memory
from bench.report import as_json, life_sheet, sheet
from bench.runner import LOOP, Row, middle
from bench.sheet import milliseconds, ratio


def figures(rate: float) -> Figures:
    return Figures(rate, 0.001, 0.002, 50e-6, 0.5, int(rate), 0, "", 0.25, "wrk")


def case(name: str) -> Case:
    return next(one for one in CASES if one.name == name)


ROWS = [
    Row("noop", "modelserver", 1, 64, figures(24000.0)),
    Row("noop", "TorchServe", 1, 64, figures(1000.0)),
    Row("noop", "floor", 1, 64, figures(96000.0)),
]


class SheetTests(TestCase):
    """One table for a case."""

    def column(self, name: str, chosen: str = "noop", rows: list[Row] = ROWS) -> list[str]:
        made = sheet(case(chosen), rows)
        return [row[made.columns.index(name)] for row in made.rows]

    def test_a_row_tells_how_many_times_a_peer_it_is(self) -> None:
        self.assertEqual(self.column("x TS"), ["24.00", "1.00", "96.00"])

    def test_a_peer_that_was_not_run_has_no_ratio(self) -> None:
        self.assertEqual(self.column("x MMS"), ["-", "-", "-"])

    def test_the_floor_is_the_limit_of_a_handler_that_takes_no_time(self) -> None:
        self.assertEqual(self.column("of limit"), ["25.0 %", "1.0 %", "-"])

    def test_the_handlers_time_is_the_limit_where_it_takes_some(self) -> None:
        rows = [Row("wait32", "modelserver", 2, 64, figures(6080.0))]
        self.assertEqual(self.column("of limit", "wait32", rows), ["95.0 %"])

    def test_the_bare_loop_is_the_limit_of_a_handler_that_computes(self) -> None:
        rows = [Row("cnn8", "modelserver", 1, 64, figures(384.0)), Row("cnn8", LOOP, 1, 64, figures(400.0))]
        self.assertEqual(self.column("of limit", "cnn8", rows), ["96.0 %", "-"])

    def test_it_prints_and_it_is_markdown(self) -> None:
        made, text = sheet(case("noop"), ROWS), StringIO()
        made.show(Console(file=text, width=200))
        self.assertIn("TorchServe", text.getvalue())
        self.assertIn("| modelserver | 1 | 64 | 24,000 |", made.markdown())

    def test_figures_survive_json(self) -> None:
        memory = Memory(2, 1, 1)
        life = Life("modelserver", 1.0, 0.5, 0.25, 0.125, 200, memory, memory, 0.0)
        read = json.loads(json.dumps(as_json(ROWS, [life])))
        self.assertEqual(read["rows"][0]["figures"]["rate"], 24000.0)
        self.assertEqual(read["lives"][0]["memory_with_one"]["pss"], 1)

    def test_a_life_is_a_row(self) -> None:
        memory = Memory(2_000_000, 1_000_000, 1)
        life = Life("MMS", 1.5, 0.5, 0.0625, 1.0, 507, memory, memory, 0.0)
        self.assertEqual(
            life_sheet([life]).rows,
            (("MMS", "1.50", "500", "62.50", "1,000", "507", "1 / 2", "1 / 2", "0.00"),),
        )


class WordsTests(TestCase):
    """Numbers as they are shown."""

    def test_short_times_have_decimals(self) -> None:
        self.assertEqual([milliseconds(0.00012), milliseconds(1.5)], ["0.12", "1,500"])

    def test_nothing_to_compare_with(self) -> None:
        self.assertEqual(ratio(1.0, 0.0), "-")

    def test_the_middle_measurement_is_kept(self) -> None:
        self.assertEqual(middle([figures(3.0), figures(1.0), figures(2.0)]).rate, 2.0)
