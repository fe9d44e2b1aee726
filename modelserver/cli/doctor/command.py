"""``modelserver doctor``: shows what of a TorchServe or MMS installation works with this server."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from modelserver.archive.manifest import MANIFEST
from modelserver.cli.doctor.archive import SUFFIXES, examine_archive
from modelserver.cli.doctor.configuration import examine_configuration
from modelserver.cli.doctor.examination import Examination
from modelserver.cli.doctor.findings import Finding, Report
from modelserver.config.settings import Settings
from modelserver.dialect_rules import DIALECTS, TORCHSERVE
from modelserver.metrics.log_lines import one_line

_STYLES: Mapping[str, str] = {"works": "green", "differs": "yellow", "ignored": "dim", "fails": "bold red"}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``doctor`` and its options."""
    parser = subparsers.add_parser(
        "doctor",
        help="say what of a TorchServe or MMS installation will work here",
        description="Read configurations and model archives of TorchServe or Multi Model Server, and say "
        "what will work here, what differs, what is ignored and what fails. Nothing is started, and no "
        "handler is run. The exit status is 1 if something will not work.",
    )
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="CONFIG|ARCHIVE", help="files, or a model store"
    )
    parser.add_argument(
        "--dialect",
        choices=tuple(DIALECTS),
        help="whose configuration it is; told by its keys if absent",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Examine, print, and return 1 if something will not work, 2 if a path does not exist."""
    absent = [path for path in arguments.paths if not path.exists()]
    for path in absent:
        print(f"modelserver doctor: {path} does not exist", file=sys.stderr)
    if absent:
        return 2
    console = Console()
    fails = False
    for report in examine(arguments.paths, os.environ, Path.cwd(), arguments.dialect):
        console.print(_table(report))
        fails = fails or report.fails
    console.print(
        Text("Something will not work.", "bold red") if fails else Text("Nothing of it fails.", "green")
    )
    return int(fails)


def examine(
    paths: Sequence[Path], environ: Mapping[str, str], cwd: Path, dialect: str | None = None
) -> Iterator[Report]:
    """
    Examine configurations and archives in turn; after a configuration, the archives that it loads.

    Archives are examined with the settings of the configuration before them, and once with each.

    :param cwd: the folder that the server will be started in.
    """
    settings = Settings(dialect=dialect or TORCHSERVE.name)
    seen: set[Path] = set()
    with tempfile.TemporaryDirectory(prefix="modelserver-doctor-") as scratch:
        for path in paths:
            archives: Sequence[Path] = archives_in(path) or [path]
            if not is_archive(path):
                installation = examine_configuration(path, environ, cwd, dialect)
                settings, archives = installation.settings, installation.archives
                seen.clear()
                yield installation.report
            for archive in archives:
                if archive.resolve() not in seen:
                    seen.add(archive.resolve())
                    yield examine_archive(archive, Examination(Path(scratch), settings))


def archives_in(path: Path) -> Sequence[Path]:
    """Return the archives of a model store; of anything else, none."""
    if not path.is_dir() or (path / MANIFEST).exists():
        return []
    return sorted(
        each for each in path.iterdir() if each.name.endswith(SUFFIXES) or (each / MANIFEST).exists()
    )


def is_archive(path: Path) -> bool:
    """Return whether a path is a model's folder or archive, and not a configuration."""
    return path.is_dir() or path.name.endswith(SUFFIXES)


def _table(report: Report) -> Table:
    table = Table(title=report.title, title_justify="left", title_style="bold", expand=False)
    for column in ("", "what", "says"):
        table.add_column(column, overflow="fold")
    for finding in report.findings:
        table.add_row(*_row(finding))
    return table


def _row(finding: Finding) -> tuple[Text, Text, Text]:
    """Return a row; texts of files are escaped: they are no markup, and do not steer a terminal."""
    return Text(finding.verdict, _STYLES[finding.verdict]), _shown(finding.what), _shown(finding.text)


def _shown(text: str) -> Text:
    return Text("\n".join([one_line(line) for line in text.split("\n")]))
