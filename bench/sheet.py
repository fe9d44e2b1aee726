"""Tables for the terminal and for the manual, numbers as they are shown, and the machine they come from."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil
from attrs import frozen
from rich.console import Console
from rich.table import Table


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


def write_markdown(path: Path, sheets: Sequence[Sheet]) -> None:
    """Write the tables of a run for the manual."""
    path.write_text("\n".join(one.markdown() for one in sheets))


def write_json(path: Path, found: Mapping[str, object]) -> None:
    """Write the figures of a run."""
    path.write_text(json.dumps(found, indent=2) + "\n")
