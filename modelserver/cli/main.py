"""The ``modelserver`` command and its subcommands."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterator, Sequence
from typing import Protocol, cast

import modelserver

SUBCOMMANDS = {
    "modelserver.cli.archivers.command": ("archive",),
    "modelserver.cli.client.completion": ("completion",),
    "modelserver.cli.client.commands": (
        *("models", "describe", "register", "scale", "advise", "unregister", "set-default"),
        *("predict", "workers", "ping"),
    ),
    "modelserver.cli.client.workflows": ("workflows",),
    "modelserver.cli.doctor.command": ("doctor",),
    "modelserver.cli.project.dev": ("dev",),
    "modelserver.cli.project.init": ("init",),
    "modelserver.cli.quickstart.command": ("quickstart",),
    "modelserver.cli.launchers.serve": ("serve",),
}
"""The modules that add subcommands, and which, in the order of the help: a new subcommand is a word here."""


class _Subcommand(Protocol):
    """A module that adds subcommands to the command."""

    def add_parser(self, subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
        """Add the parser, with ``run=`` (from the parsed arguments to an exit status) as a default."""


def _subcommands(command: str | None) -> Iterator[_Subcommand]:
    """Import the modules that add subcommands; only one of them, where that adds ``command``."""
    for name in [name for name, added in SUBCOMMANDS.items() if command in added] or SUBCOMMANDS:
        yield cast(_Subcommand, importlib.import_module(name))  # a module is known by its attributes


def build_parser(command: str | None = None) -> argparse.ArgumentParser:
    """
    Return the parser of the whole command, with every subcommand.

    :param command: the subcommand that is meant: the modules of others are not imported then, for a server
        would keep them as long as it runs.
    """
    parser = argparse.ArgumentParser(
        prog="modelserver", description="Serve models: the successor of TorchServe and Multi Model Server."
    )
    parser.add_argument("--version", action="version", version=f"modelserver {modelserver.__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for subcommand in _subcommands(command):
        subcommand.add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run one subcommand.

    :param argv: the words after ``modelserver``, or None for those of this process.
    :returns: the exit status.
    """
    words = sys.argv[1:] if argv is None else argv
    arguments = build_parser(words[0] if words else None).parse_args(words)
    status: int = arguments.run(arguments)
    return status


if __name__ == "__main__":
    sys.exit(main())
