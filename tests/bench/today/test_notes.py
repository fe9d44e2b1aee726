"""What becomes of the figures: a file, medians, tables and a picture."""

from __future__ import annotations

import tempfile
from pathlib import Path
from unittest import TestCase
from xml.etree import ElementTree

from bench.load import Figures
from bench.picture import draw
from bench.runner import Row
from bench.today.notes import Cell, Entry, Notes, read_notes, sheets

OWN = Entry("modelserver", "1", "raw bytes", "one worker")
OTHER = Entry("an<other>", "2", "raw bytes", "none")


def row(name: str, rate: float, case: str = "noop", connections: int = 64, errors: int = 0) -> Row:
    """Return a measurement; a request costs as many microseconds as there were requests."""
    figures = Figures(rate, 0.001, 0.002, rate / 1e6, 0.5, 100, errors, "", 1.0, "wrk")
    return Row(case, name, 1, connections, figures)


def notes(*rows: Row) -> Notes:
    """Return notes of one run."""
    found = Notes()
    found.add([OWN, OTHER], rows)
    return found


class NotesTests(TestCase):
    """Figures of several runs."""

    def test_medians_are_of_all_runs_and_failures_are_summed(self) -> None:
        found = notes(row(OWN.name, 100), row(OWN.name, 300, errors=2), row(OWN.name, 200, errors=1))
        self.assertEqual(found.cells(64), {("noop", OWN.name): Cell(200, 200 / 1e6, 3)})
        self.assertEqual(found.rounds(), 3)

    def test_a_file_is_added_to(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "notes.json"
            self.assertEqual(read_notes(path).rows, [])
            notes(row(OWN.name, 100)).save(path)
            again = read_notes(path)
            again.add([OTHER], [row(OTHER.name, 50)])
            again.save(path)
            self.assertEqual(read_notes(path), again)
            self.assertEqual(list(again.entries), [OWN.name, OTHER.name])

    def test_tables_have_a_row_for_each_server_and_say_what_failed(self) -> None:
        found = notes(row(OWN.name, 1234), row(OTHER.name, 5, errors=7), row(OWN.name, 9, "echo1m", 8))
        many, few, servers = sheets(found)
        self.assertEqual(many.columns, ("server", "noop, 100 B"))
        self.assertEqual(many.rows, ((OWN.name, "1,234 / 1,234"), (OTHER.name, "5 / 5 (7 failed)")))
        self.assertEqual(few.rows, ((OWN.name, "9 / 9"), (OTHER.name, "-")))
        self.assertEqual(servers.rows[1], ("an<other>", "2", "raw bytes", "none"))


class PictureTests(TestCase):
    """The bars."""

    def test_each_figure_has_a_bar_as_long_as_its_share(self) -> None:
        found = notes(row(OWN.name, 400), row(OTHER.name, 100), row(OWN.name, 7, "wait32"))
        root = ElementTree.fromstring(draw(found, 64))
        space = "{http://www.w3.org/2000/svg}"
        bars = {
            kind: [
                float(bar.attrib["width"]) for bar in root.iter(f"{space}rect") if bar.get("class") == kind
            ]
            for kind in ("own", "other")
        }
        self.assertEqual((len(bars["own"]), len(bars["other"])), (4, 2))
        self.assertAlmostEqual(bars["own"][0], 4 * bars["other"][0], delta=0.5)
        texts = [text.text for text in root.iter(f"{space}text")]
        self.assertIn("an<other>", texts)
        self.assertIn("400", texts)

    def test_without_figures_there_is_a_heading_only(self) -> None:
        root = ElementTree.fromstring(draw(Notes(), 64))
        self.assertEqual(len(list(root.iter("{http://www.w3.org/2000/svg}rect"))), 1)
