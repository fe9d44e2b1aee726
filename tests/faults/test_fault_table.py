"""``README.md`` beside this file is the table of faults: every row has its test, every test its row."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).parent
TESTS = FOLDER.parent
FEWEST = 60
_ROW = re.compile(r"^\| ([\w-]+) \| (.+) \| (.+) \| `(.+)::(\w+)` \|$", re.MULTILINE)
_TEST = re.compile(r"^ *(?:async )?def (test_\w+)", re.MULTILINE)


def rows() -> list[tuple[str, str, str]]:
    """The id, the file and the test of each row."""
    text = (FOLDER / "README.md").read_text()
    return [(name, file, test) for name, _, _, file, test in _ROW.findall(text)]


def names_in(file: Path) -> set[str]:
    """The names of the tests of a file."""
    return set(_TEST.findall(file.read_text()))


def test_it_has_enough_rows_and_each_its_own_id() -> None:
    """As the table says of itself, and no line of it is misread."""
    found = rows()
    lines = [line for line in (FOLDER / "README.md").read_text().splitlines() if line.startswith("|")]
    assert len(found) == len({name for name, _, _ in found}) == len(lines) - 2
    assert len(found) >= FEWEST


def test_every_row_has_its_test() -> None:
    """In the file that it names."""
    missing = [name for name, file, test in rows() if test not in names_in(TESTS / file)]
    assert missing == []


def test_every_test_has_its_row() -> None:
    """Of all that is in this folder, but for this file."""
    named = {(file, test) for _, file, test in rows()}
    found = {
        (f"{FOLDER.name}/{file.name}", test)
        for file in FOLDER.glob("test_*.py")
        if file.name != Path(__file__).name
        for test in names_in(file)
    }
    assert found - named == set()
