"""Shows what was measured: tables for the terminal and for the manual, and JSON for machines."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
import psutil
from attrs import frozen
from rich.console import Console
from rich.table import Table

from bench.cases import Case
from bench.lifecycle import Life
from bench.runner import Row

PEERS = ("TorchServe", "MMS")
FLOOR = "floor"


@frozen
class Sheet:
    """A table: a title, the names of its columns, and its rows as text."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def show(self, console: Console) -> None:
        """Print it."""
        table = Table(title=self.title, title_justify="left")
        for index, column in enumerate(self.columns):
            table.add_column(column, justify="left" if index < 1 else "right", no_wrap=True)
        for row in self.rows:
            table.add_row(*row)
        console.print(table)

    def markdown(self) -> str:
        """The same for the manual."""
        lines = [f"### {self.title}", "", "| " + " | ".join(self.columns) + " |"]
        lines.append("| --- |" + " ---: |" * (len(self.columns) - 1))
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        return "\n".join(lines) + "\n"


def milliseconds(seconds: float) -> str:
    """A latency."""
    return f"{seconds * 1000:.2f}" if seconds < 0.1 else f"{seconds * 1000:,.0f}"


def megabytes(size: int) -> str:
    """A size of memory."""
    return f"{size / 1e6:,.0f}"


def ratio(own: float, other: float) -> str:
    """How many times ``other`` goes into ``own``."""
    return f"{own / other:.2f}" if other else "-"


def sheet(case: Case, rows: Sequence[Row], loops: Mapping[str, float]) -> Sheet:
    """
    The table of a case.

    The columns ``x TS`` and ``x MMS`` are this row's requests per second over the peer's at the same point.
    ``of limit`` is over what nothing could exceed here: the handler's own time where it takes some, else
    the floor server at the same point.

    :param loops: requests per second of the handler in a bare loop, by case, where it was measured.
    """
    rates = {(row.target, row.workers, row.connections): row.figures.rate for row in rows}
    lines = []
    for row in rows:
        figures, point = row.figures, (row.workers, row.connections)
        limit = limit_of(case, row, loops) or rates.get((FLOOR, *point), 0.0)
        against = [rates.get((peer, *point), 0.0) for peer in PEERS]
        lines.append(
            (
                row.target,
                str(row.workers),
                str(row.connections),
                f"{figures.rate:,.0f}",
                milliseconds(figures.p50),
                milliseconds(figures.p99),
                f"{figures.cpu * 1e6:,.0f}",
                *(ratio(figures.rate, other) for other in against),
                f"{100 * figures.rate / limit:.1f} %" if limit and row.target != FLOOR else "-",
                f"{figures.errors} {figures.first_error}".strip(),
                f"{figures.client_cpu:.2f} {figures.client}",
                f"{figures.load:.2f}",
            )
        )
    columns = (
        *("server", "workers", "conn.", "req/s", "p50 ms", "p99 ms", "CPU us/req"),
        *("x TS", "x MMS", "of limit", "errors", "client CPU", "load"),
    )
    return Sheet(case.title, columns, tuple(lines))


def limit_of(case: Case, row: Row, loops: Mapping[str, float]) -> float:
    """Requests per second that the handler's own time allows; 0 where it takes next to none."""
    return case.ideal(row.workers) or (loops.get(case.name, 0.0) * row.workers if case.computes else 0.0)


def life_sheet(lives: Sequence[Life]) -> Sheet:
    """The table of start, register, scale, recovery and memory."""
    lines = tuple(
        (
            life.target,
            f"{life.start:.2f}",
            milliseconds(life.register),
            milliseconds(life.scale),
            milliseconds(life.recovery),
            str(life.first_code),
            f"{megabytes(life.memory_with_one.pss)} / {megabytes(life.memory_with_one.rss)}",
            f"{megabytes(life.memory_with_four.pss)} / {megabytes(life.memory_with_four.rss)}",
            f"{life.load:.2f}",
        )
        for life in lives
    )
    columns = (
        *("server", "start s", "register ms", "scale 1 to 4 ms", "kill -9 to answer ms", "first code"),
        *("1 worker PSS / RSS MB", "4 workers PSS / RSS MB", "load"),
    )
    return Sheet("Life of a noop model", columns, lines)


def machine() -> dict[str, object]:
    """What it was measured on."""
    return {
        "cores": os.cpu_count(),
        "memory": psutil.virtual_memory().total,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": os.getloadavg(),
    }


def describe_machine() -> str:
    """The same in a line."""
    return (
        f"{os.cpu_count()} cores, {psutil.virtual_memory().total / 1e9:.0f} GB, Linux {platform.release()}, "
        f"Python {platform.python_version()}, load average {os.getloadavg()[0]:.2f}"
    )


def as_json(rows: Sequence[Row], lives: Sequence[Life], loops: Mapping[str, float]) -> dict[str, object]:
    """Everything, for a file."""
    return {
        "machine": machine(),
        "rows": [attrs.asdict(row) for row in rows],
        "lives": [attrs.asdict(life) for life in lives],
        "loops": dict(loops),
    }


def write_markdown(path: Path, sheets: Sequence[Sheet]) -> None:
    """Write the tables of a run for the manual."""
    path.write_text("\n".join(one.markdown() for one in sheets))


def write_json(path: Path, found: Mapping[str, object]) -> None:
    """Write the figures of a run."""
    path.write_text(json.dumps(found, indent=2) + "\n")
