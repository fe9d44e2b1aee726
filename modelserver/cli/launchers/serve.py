"""``modelserver serve``: the same service as ``twistd -n modelserver``, with the same options."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import cast

from twisted.logger import ILogObserver, LogEvent
from zope.interface import provider

from modelserver.system.garbage import CollectingHabits, collect_nothing


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


def serve(options: Sequence[str], own_console: bool = False) -> int:
    """
    Be the server until a signal comes.

    :param options: of ``twistd -n modelserver``.
    :param own_console: the server writes to standard output itself, instead of twistd.
    :raises SystemExit: the options cannot be used, or only asked for help.
    """
    habits = CollectingHabits.now()
    collect_nothing()
    try:
        return _serve(options, own_console)
    finally:
        habits.restore()


def _serve(options: Sequence[str], own_console: bool) -> int:
    # Imported where it is used: the other subcommands start faster without it.
    from twisted.python.usage import UsageError
    from twisted.scripts import twistd

    from modelserver.cli.launchers.twistd_options import PROGRAM, ServerOptions

    # The options are twistd's to read, and it reads the words of the process.
    own = ["--logger", f"{__name__}.{no_observer.__name__}"] if own_console else []
    console = ["--console"] if own_console else []
    sys.argv = ["twistd", "--nodaemon", "--pidfile=", *own, "modelserver", *console, *options]
    run_app: Callable[[object], None] = twistd.runApp
    try:
        config = ServerOptions()
        config.parseOptions()
        run_app(config)
    except UsageError as why:
        print(f"{PROGRAM}: {why}\n'{PROGRAM} --help' names the options.", file=sys.stderr)
        return 1
    finally:
        # Twisted has made log events of what is written there; what ends this process is for the console.
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    return 0


def no_observer() -> ILogObserver:
    """Return an observer that drops events, for twistd where the server itself writes to the console."""

    @provider(ILogObserver)
    def ignore(event: LogEvent) -> None:
        pass

    return cast(ILogObserver, ignore)  # the decorator forgets what it was given
