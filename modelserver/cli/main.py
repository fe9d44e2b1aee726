"""The ``modelserver`` command: each module of this package that has ``add_parser`` is a subcommand."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Iterator, Sequence
from typing import Protocol, cast

import modelserver
from modelserver import cli


class _Subcommand(Protocol):
    """A module of this package that adds itself to the command."""

    def add_parser(self, subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
        """Add its parser, with ``run=`` (from the parsed arguments to an exit status) as a default."""


def _subcommands() -> Iterator[_Subcommand]:
    """The modules beside this one that offer a subcommand, by name."""
    for found in pkgutil.iter_modules(cli.__path__):
        if found.name == "main":
            continue
        module = importlib.import_module(f"{cli.__name__}.{found.name}")
        if hasattr(module, "add_parser"):
            yield cast(_Subcommand, module)  # a module is known by its attributes, not by a class


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command, with every subcommand."""
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
