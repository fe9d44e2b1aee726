"""``modelserver serve``: the same service as ``twistd -n modelserver``, with the same options."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``serve``. Its words are kept as they are: twistd's plugin reads them."""
    parser = subparsers.add_parser(
        "serve",
        help="run the server; its options are those of 'twistd -n modelserver'",
        add_help=False,
        # With no character that starts an option, argparse leaves every word to the plugin.
        prefix_chars="\0",
    )
    parser.add_argument("options", nargs=argparse.REMAINDER)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """
    Serve until a signal comes; like twistd, tell the parent process by which signal it ended.

    :raises SystemExit: the options cannot be used, or only asked for help.
    """
    return serve(arguments.options)


def serve(options: Sequence[str]) -> int:
    """
    Be the server until a signal comes.

    :param options: of ``twistd -n modelserver``.
    :raises SystemExit: they cannot be used, or only asked for help.
    """
    # Imported where it is used: the other subcommands start faster without it.
    from twisted.scripts import twistd

    # The options are twistd's to read, and it reads the words of the process.
    sys.argv = ["twistd", "--nodaemon", "--pidfile=", "modelserver", *options]
    run_twistd: Callable[[], None] = twistd.run
    run_twistd()
    return 0
