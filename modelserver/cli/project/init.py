"""``modelserver init``: a new project with a handler that works, its test, and a Makefile."""

from __future__ import annotations

import argparse
import sys
from importlib.resources import files
from pathlib import Path

from modelserver.archive.names import RULE, is_name

FILES = ("handler.py", "model-config.yaml", "test_handler.py", "Makefile")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``init`` and its options."""
    parser = subparsers.add_parser("init", help="write a new project with a handler, its test and a Makefile")
    parser.add_argument(
        "folder", type=Path, metavar="NAME", help="the folder to make; the model has its name"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """
    Write the project.

    :returns: 0; 1 when a file is there already or cannot be written, and nothing has been written; 2 when no
        model may have the folder's name.
    """
    folder: Path = arguments.folder
    name = folder.resolve().name
    if not is_name(name):
        print(f"{name!r} cannot be the name of a model: it must be {RULE}.", file=sys.stderr)
        return 2
    there = [file for file in FILES if (folder / file).exists()]
    if there:
        print(f"{folder} has {', '.join(there)} already; nothing was written.", file=sys.stderr)
        return 1
    try:
        write_project(folder)
    except OSError as error:
        print(f"{folder} cannot be written: {error.strerror or error}", file=sys.stderr)
        return 1
    print(f"Wrote {', '.join(str(folder / file) for file in FILES)}.\n")
    print(f"  cd {folder}\n  make test     # runs {FILES[2]}\n  make serve    # serves it, and reloads it")
    return 0


def write_project(folder: Path) -> None:
    """
    Write the files of a new project.

    :raises OSError: one cannot be written; none is left.
    """
    template = files("modelserver.cli.project") / "template"
    written: list[Path] = []
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in FILES:
            text = (template / f"{file}.txt").read_text("utf-8")
            with (folder / file).open("x", encoding="utf-8") as target:
                written.append(folder / file)
                target.write(text)
    except OSError:
        for path in written:
            path.unlink()
        if is_new and folder.is_dir():
            folder.rmdir()
        raise
