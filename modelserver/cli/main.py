"""The ``modelserver`` command and its subcommands."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterator, Sequence
from typing import Protocol, cast

import modelserver

SUBCOMMANDS = (
    "modelserver.cli.archivers.command",
    "modelserver.cli.client.completion",
    "modelserver.cli.client.commands",
    "modelserver.cli.client.workflows",
    "modelserver.cli.doctor.command",
    "modelserver.cli.project.dev",
    "modelserver.cli.project.init",
    "modelserver.cli.quickstart.command",
    "modelserver.cli.launchers.serve",
)
"""The modules that add subcommands, in the order of the help: a new subcommand is one line here."""


class _Subcommand(Protocol):
    """A module that adds subcommands to the command."""

    def add_parser(self, subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
        """Add the parser, with ``run=`` (from the parsed arguments to an exit status) as a default."""


def _subcommands() -> Iterator[_Subcommand]:
    """Import the modules that add subcommands."""
    for name in SUBCOMMANDS:
        yield cast(_Subcommand, importlib.import_module(name))  # a module is known by its attributes


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command, with every subcommand."""
    parser = argparse.ArgumentParser(
        prog="modelserver", description="Serve models: the successor of TorchServe and Multi Model Server."
    )
    parser.add_argument("--version", action="version", version=f"modelserver {modelserver.__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for subcommand in _subcommands():
        subcommand.add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run one subcommand.

    :param argv: the words after ``modelserver``, or None for those of this process.
    :returns: the exit status.
    """
    arguments = build_parser().parse_args(argv)
    status: int = arguments.run(arguments)
    return status


if __name__ == "__main__":
    sys.exit(main())
