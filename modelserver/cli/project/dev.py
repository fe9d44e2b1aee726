"""``modelserver dev``: serves a handler that is being written, and reloads it whenever a file changes."""

from __future__ import annotations

import argparse
import http.client
import os
import signal
import sys
import tempfile
import threading
import time
import webbrowser
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

from rich.console import Console
from watchfiles import watch

from modelserver.archive.manifest import read_manifest
from modelserver.archive.project import CONFIG, Project
from modelserver.cli.client.http import Client
from modelserver.cli.local_server import (
    HOST,
    ChildServer,
    Ports,
    ServerFailed,
    first_port,
    ports_from,
    write_options,
)
from modelserver.cli.project.log_lines import DevelopmentLines
from modelserver.cli.project.reloading import Reloader
from modelserver.errors import ServingError
from modelserver.language.attributes import frozen
from modelserver.protocol.worker_variables import LOCALS, TERMINAL

START_SECONDS, LOAD_SECONDS = 60.0, 600.0
LOOK = 200
"""Milliseconds between two looks at whether the server is still there."""
QUIET = 50
"""Milliseconds without a change after which a change counts as over."""

WITH_TERMINAL = "worker_start=spawn\ndefault_response_timeout=86400\ndefault_startup_timeout=86400\n"
"""A worker that waits for its developer is not ended for it."""


@frozen
class ServedPlace:
    """
    What is served, as the server finds it in its model store.

    :param place: the folder or the file that is watched.
    :param url: its name in the store.
    :param project: whose links are to be brought up to date, or None: it is served in place.
    """

    place: Path
    name: str
    url: str
    target: Path
    project: Project | None = None

    def prepare(self) -> None:
        """
        Bring what is in the store up to date.

        :raises OSError: a file cannot be written.
        """
        if self.project is not None:
            self.project.link(self.target)
        elif not self.target.is_symlink():
            self.target.symlink_to(self.place)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``dev`` and its options."""
    parser = subparsers.add_parser(
        "dev", help="serve a handler while you write it: it is reloaded when a file changes"
    )
    parser.add_argument(
        "place",
        type=Path,
        metavar="DIR|ARCHIVE",
        help="a folder with a handler.py or a MAR-INF/MANIFEST.json, a handler's file, or an archive",
    )
    parser.add_argument("--name", help="of the model (default: the archive's, or the folder's)")
    parser.add_argument("--port", type=first_port, default=8080, help="as of modelserver quickstart")
    parser.add_argument(
        "--in-process",
        action="store_true",
        help="give this terminal to the worker, so that breakpoint() works in the handler",
    )
    parser.add_argument(
        "--no-browser", action="store_true", help="do not open the page that tries predictions"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """
    Serve until Ctrl-C or TERM.

    :returns: 0 when it was told to end; 1 when the server failed; 2 when there is nothing to serve, or
        ``--in-process`` is asked for without a terminal.
    """
    console = Console(highlight=False)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    if arguments.in_process and not sys.stdin.isatty():
        print("--in-process gives the terminal to the handler, and there is none.", file=sys.stderr)
        return 2
    try:
        with tempfile.TemporaryDirectory(prefix="modelserver-dev-") as scratch:
            store = Path(scratch, "model-store")
            store.mkdir()
            served = served_place(arguments.place.resolve(), store, arguments.name)
            return _serve(served, arguments, Path(scratch), console)
    except (ServingError, OSError) as error:
        print(f"{arguments.place} cannot be served: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0


def served_place(place: Path, store: Path, name: str | None = None) -> ServedPlace:
    """
    Find out what is to be served.

    :param name: of the model; None: what the place says.
    :raises ArchiveInvalid: nobody says which file is the handler, or the manifest cannot be read.
    :raises FileNotFoundError: there is no such place.
    """
    if not place.exists():
        raise FileNotFoundError(f"there is no {place}")
    project = Project.at(place)
    if project is not None:
        return ServedPlace(project.folder, name or project.name, project.name, store / project.name, project)
    if name is None:
        name = (read_manifest(place).model_name or place.name) if place.is_dir() else place.stem
    return ServedPlace(place, name, place.name, store / place.name)


def _serve(served: ServedPlace, arguments: argparse.Namespace, scratch: Path, console: Console) -> int:
    ports = ports_from(arguments.port)
    more = WITH_TERMINAL if arguments.in_process else ""
    options = write_options(scratch, served.target.parent, ports, more)
    environment = _environment(arguments.in_process)
    with ChildServer(options, scratch, environment=environment, is_piped=True) as server:
        printer = threading.Thread(
            target=_show_lines, args=(server, DevelopmentLines(served.place), console), daemon=True
        )
        printer.start()
        try:
            server.wait_until_healthy(Client(HOST, ports.inference, START_SECONDS), START_SECONDS)
            _develop(served, server, ports, console, opens_browser=not arguments.no_browser)
        except (ServerFailed, http.client.HTTPException) as failure:
            printer.join(1.0)
            console.print(str(failure), style="red")
            return 1
    return 0


def _environment(has_terminal: bool) -> Mapping[str, str]:
    """Return the variables that make the server tell what a developer wants to know."""
    told = {"OTEL_TRACES_EXPORTER": "console", LOCALS: "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return {**told, TERMINAL: os.ttyname(sys.stdin.fileno())} if has_terminal else told


def _show_lines(server: ChildServer, lines: DevelopmentLines, console: Console) -> None:
    for line in server.lines():
        shown = lines.shown(line)
        if shown is not None:
            console.print(shown, soft_wrap=True)


def _develop(
    served: ServedPlace, server: ChildServer, ports: Ports, console: Console, opens_browser: bool
) -> None:
    """
    Load the model, and load it again after each change, for ever.

    :raises ServerFailed: the server has ended.
    """
    management = Client(HOST, ports.management, LOAD_SECONDS)
    reloader = Reloader(management.ask, served.name, served.url, served.prepare)
    found = changes(served.place)
    next(found)  # the watcher begins here: what changes during the load is not missed
    _tell(console, "loaded", *_timed(reloader, [CONFIG]))
    page = f"http://{HOST}:{ports.management}/dashboard#try={quote(served.name, safe='')}"
    console.print(
        f"\nPredictions: http://{HOST}:{ports.inference}/predictions/{quote(served.name, safe='')}\n"
        f"Try them:    {page}\nWatching {served.place}; Ctrl-C ends.\n",
        soft_wrap=True,
        markup=False,
    )
    if opens_browser and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        webbrowser.open(page)
    for changed in found:
        server.raise_if_ended(0)
        if changed:
            anew: list[str | Path] = [CONFIG] if served.place.is_file() else changed
            _tell(console, "reloaded", *_timed(reloader, anew))


def changes(place: Path) -> Iterator[list[str | Path]]:
    """Return the files that have changed, whenever some have; an empty list every now and then."""
    for found in watch(
        place if place.is_dir() else place.parent,
        step=QUIET,
        rust_timeout=LOOK,
        yield_on_timeout=True,
        recursive=place.is_dir(),
    ):
        yield [path for _, path in sorted(found) if place.is_dir() or Path(path) == place]


def _timed(reloader: Reloader, changed: list[str | Path]) -> tuple[float, str | None]:
    begun = time.monotonic()
    try:
        failure = reloader.reload(changed)
    except OSError as error:
        failure = str(error)
    return time.monotonic() - begun, failure


def _tell(console: Console, done: str, seconds: float, failure: str | None) -> None:
    if failure is None:
        console.print(f"{done} in {seconds:.2f} s", style="bold green")
    else:
        console.print(f"not {done}: {failure}", style="bold red", markup=False, soft_wrap=True)
        console.print("Waiting for the next change.")
