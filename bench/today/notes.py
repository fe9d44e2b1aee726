"""The figures of several runs in one file, and what is made of them: medians, and tables of them."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
from attrs import define, field, frozen

from bench.runner import Row
from bench.sheet import Sheet, describe_machine

CASES = {
    "noop": "noop, 100 B",
    "echo100k": "echo 100 kB",
    "echo1m": "echo 1 MB",
    "wait32": "10 ms, batch 32",
    "cnn8": "small CNN, batch 8",
}
"""What is compared, by the names of ``bench.cases``, and as tables have it."""


@frozen
class Entry:
    """A server that took part: what was installed, how bytes travelled, and what was set."""

    name: str
    version: str
    format: str
    settings: str


@frozen
class Cell:
    """The medians of a server at one point: requests a second, and CPU seconds of each."""

    rate: float
    cpu: float
    errors: int = 0

    def __str__(self) -> str:
        text = f"{self.rate:,.0f} / {self.cpu * 1e6:,.0f}"
        return f"{text} ({self.errors} failed)" if self.errors else text


@define
class Notes:
    """What runs have found; rows as JSON has them."""

    entries: dict[str, Entry] = field(factory=dict)
    rows: list[dict[str, object]] = field(factory=list)
    machine: str = ""

    def add(self, entries: Sequence[Entry], rows: Sequence[Row]) -> None:
        """Take a run in."""
        self.machine = describe_machine()
        self.entries |= {entry.name: entry for entry in entries}
        self.rows += [
            {
                "case": row.case,
                "server": row.target,
                "connections": row.connections,
                "rate": row.figures.rate,
                "cpu": row.figures.cpu,
                "p99": row.figures.p99,
                "errors": row.figures.errors,
                "load": row.figures.load,
            }
            for row in rows
        ]

    def save(self, path: Path) -> None:
        """Write all to a file."""
        entries = [attrs.asdict(entry) for entry in self.entries.values()]
        found = {"machine": self.machine, "servers": entries, "rows": self.rows}
        path.write_text(json.dumps(found, indent=1) + "\n")

    def cells(self, connections: int) -> dict[tuple[str, str], Cell]:
        """Return the medians at so many connections, by case and server."""
        found: dict[tuple[str, str], list[Mapping[str, object]]] = {}
        for row in self.rows:
            if row["connections"] == connections:
                found.setdefault((str(row["case"]), str(row["server"])), []).append(row)
        return {
            place: Cell(
                statistics.median(float(str(row["rate"])) for row in rows),
                statistics.median(float(str(row["cpu"])) for row in rows),
                sum(int(str(row["errors"])) for row in rows),
            )
            for place, rows in found.items()
        }

    def rounds(self) -> int:
        """Return how often the points were measured, at least."""
        counts: dict[tuple[object, ...], int] = {}
        for row in self.rows:
            place = (row["case"], row["server"], row["connections"])
            counts[place] = counts.get(place, 0) + 1
        return min(counts.values(), default=0)


def read_notes(path: Path | None) -> Notes:
    """Return the notes of a file; none where there is no such file yet."""
    if path is None or not path.exists():
        return Notes()
    told = json.loads(path.read_text())
    entries = {one["name"]: Entry(**one) for one in told["servers"]}
    return Notes(entries, told["rows"], told["machine"])


def sheets(notes: Notes) -> list[Sheet]:
    """Return a table for each number of connections, and one of what the servers are."""
    found = []
    for connections in sorted({int(str(row["connections"])) for row in notes.rows}, reverse=True):
        cells = notes.cells(connections)
        cases = [case for case in CASES if any(place[0] == case for place in cells)]
        rows = tuple((name, *(str(cells.get((case, name), "-")) for case in cases)) for name in notes.entries)
        title = f"{connections} connections: requests/s / CPU us of each"
        found.append(Sheet(title, ("server", *(CASES[case] for case in cases)), rows))
    servers = tuple((one.name, one.version, one.format, one.settings) for one in notes.entries.values())
    found.append(Sheet("The servers", ("server", "version", "bodies", "settings"), servers))
    return found
