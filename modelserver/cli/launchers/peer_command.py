"""What the commands ``torchserve`` and ``multi-model-server`` have in common."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from modelserver.cli.launchers.launcher import BackgroundLauncher

FindProblem = Callable[[argparse.Namespace, Mapping[str, str], Path], str | None]
"""Returns why a server cannot be started with some options, environment and working directory, or None."""


def start_or_stop(
    arguments: argparse.Namespace,
    launcher: BackgroundLauncher,
    problem_with: FindProblem,
    options_for: Callable[[argparse.Namespace], list[str]],
) -> int:
    """
    Do what the options of a command say, and return its exit status.

    :param options_for: returns the same options as the server's plugin has them.
    """
    problem = _invalid_temporary_folder(os.environ)
    if problem is None and arguments.stop:
        return launcher.stop()
    problem = problem or problem_with(arguments, os.environ, Path.cwd())
    if problem is not None:
        print(problem)
        return 1
    return launcher.start(options_for(arguments), arguments.foreground)


def _invalid_temporary_folder(environ: Mapping[str, str]) -> str | None:
    """Return the message about a ``TEMP`` that is not a folder, or None; ``tempfile`` would ignore it."""
    name = environ.get("TEMP")
    if not name or Path(name).is_dir():
        return None
    return f"Invalid temp directory: {name}, please check TEMP environment variable."


def add_models(parser: argparse.ArgumentParser) -> None:
    """Add ``--models``, the same in both commands."""
    parser.add_argument(
        "--models",
        nargs="+",
        metavar="[NAME=]LOCATION",
        default=[],
        help="models to load at the start: archives of the model store, or URLs; or: all",
    )


def add_foreground(parser: argparse.ArgumentParser) -> None:
    """Add ``--foreground``, the same in both commands."""
    parser.add_argument(
        "--foreground", action="store_true", help="stay in the foreground; without, return at once"
    )


def missing(option: str, kind: str, name: str | None, is_there: Callable[[Path], bool]) -> str | None:
    """Return the message about an option whose file or folder does not exist, or None."""
    if name is None or is_there(Path(name)):
        return None
    return f"--{option} {kind} not found: {name}"
