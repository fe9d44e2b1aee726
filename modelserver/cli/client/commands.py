"""``modelserver models``, ``register``, ``scale`` and the like: send requests to a running server."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, TextIO
from urllib.parse import urlencode

from attrs import field
from rich.console import Console

from modelserver.cli.client.calls import RequestRefused, ServerCalls, Terminal
from modelserver.cli.client.connection import Remote, Unreachable, add_connection, path_of, remote_of
from modelserver.cli.client.output import advice_tables, models_table, version_table, workers_table
from modelserver.language.attributes import frozen
from modelserver.metrics.log_lines import one_line
from modelserver.version_settings.setting import AUTO_WORD

REFUSED, USAGE, UNREACHABLE = 1, 2, 3
"""Exit statuses: the server refuses; the arguments are wrong; there is no server."""


@frozen
class ServerCommand:
    """One subcommand while it runs."""

    arguments: argparse.Namespace
    calls: ServerCalls
    input: BinaryIO = field(factory=lambda: sys.stdin.buffer)

    @property
    def terminal(self) -> Terminal:
        """Where it writes."""
        return self.calls.terminal

    # Questions.

    def models(self) -> None:
        """List every model."""
        versions = [version for name in self._names() for version in self._describe(name)]
        self.terminal.show(versions, models_table(versions))

    def describe(self) -> None:
        """Describe a model, one version, or all."""
        versions = self._describe(self.arguments.model, self.arguments.version)
        tables = [table for each in versions for table in (version_table(each), workers_table([each]))]
        self.terminal.show(versions, *tables)

    def workers(self) -> None:
        """List the workers of one model, or of all."""
        names = [self.arguments.model] if self.arguments.model else self._names()
        versions = [version for name in names for version in self._describe(name)]
        self.terminal.show([self._workers_of(each) for each in versions], workers_table(versions))

    def ping(self) -> None:
        """Show the server's health."""
        self.calls.tell(self.calls.json(self.calls.remote.infer("GET", "/ping")))

    def predict(self) -> None:
        """Send a body to a model, and write the answer as it is."""
        arguments = self.arguments
        path = path_of("predictions", arguments.model, arguments.version)
        if arguments.data is not None:
            body = arguments.data.encode()
        else:
            body = self.input.read() if arguments.file is None else arguments.file.read_bytes()
        reply = self.calls.accepted(self.calls.remote.infer("POST", path, body, arguments.content_type))
        self.terminal.output.write(reply.body)
        if self.terminal.output.isatty() and not reply.body.endswith(b"\n"):
            self.terminal.output.write(b"\n")
        self.terminal.output.flush()

    def advise(self) -> None:
        """Show which settings a version should have."""
        arguments = self.arguments
        path = path_of("models", arguments.model, arguments.version, "advice")
        asked = {"p99": arguments.p99, "rate": arguments.rate}
        query = urlencode({name: value for name, value in asked.items() if value is not None})
        advice = self.calls.manage("GET", f"{path}?{query}" if query else path)
        self.terminal.show([advice], *advice_tables(advice))

    # Changes.

    def register(self) -> None:
        """Register an archive, and wait for its workers unless an option says otherwise."""
        arguments = self.arguments
        wanted = {
            "url": arguments.url,
            "model_name": arguments.name,
            "handler": arguments.handler,
            "batch_size": arguments.batch_size,
            "max_batch_delay": arguments.max_batch_delay,
            "response_timeout": arguments.response_timeout,
            "startup_timeout": arguments.startup_timeout,
            "initial_workers": arguments.workers,
            "sha256": arguments.sha256,
            "synchronous": _word(not arguments.no_wait),
        }
        self._change("POST", "/models", wanted, f"Registering {arguments.url}")

    def scale(self) -> None:
        """Change the number of workers."""
        arguments = self.arguments
        if arguments.min is None and not arguments.autoscale:
            arguments.error("one of --min and --autoscale is required")
        most = arguments.min if arguments.max is None and not arguments.autoscale else arguments.max
        wanted: dict[str, object] = {
            "min_worker": arguments.min,
            "max_worker": most,
            "idle_timeout": arguments.idle_timeout,
            "synchronous": _word(not arguments.no_wait),
        }
        if arguments.autoscale is not None:
            wanted["autoscale"] = _word(arguments.autoscale)
        path = path_of("models", arguments.model, arguments.version)
        self._change("PUT", path, wanted, f"Scaling {arguments.model}")

    def unregister(self) -> None:
        """Unregister a version."""
        path = path_of("models", self.arguments.model, self.arguments.version)
        self._change("DELETE", path, {}, f"Unregistering {self.arguments.model}")

    def set_default(self) -> None:
        """Choose the default version."""
        path = path_of("models", self.arguments.model, self.arguments.version, "set-default")
        self._change("PUT", path, {}, "Setting the default version")

    # Steps.

    def _change(self, method: str, path: str, wanted: dict[str, object], doing: str) -> None:
        self.calls.change(method, path, wanted, doing)

    def _names(self) -> list[str]:
        return self.calls.names("models", "modelName")

    def _describe(self, name: str, version: str | None = None) -> list[dict[str, Any]]:
        described = self.calls.manage("GET", path_of("models", name, version))
        return described if isinstance(described, list) else [described]

    @staticmethod
    def _workers_of(version: dict[str, Any]) -> dict[str, Any]:
        return {key: version.get(key) for key in ("modelName", "modelVersion", "workers")}


def _word(flag: bool) -> str:
    return "true" if flag else "false"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add one subcommand for each thing that can be asked of a server."""
    parsers = {
        name: subparsers.add_parser(name, help=help_, description=f"{help_[0].upper()}{help_[1:]}.")
        for name, help_ in (
            ("models", "list the models of a running server"),
            ("describe", "describe a model of a running server, and its workers"),
            ("register", "register a model archive with a running server"),
            ("scale", "change how many workers a model has"),
            ("advise", "recommend batch size, delay and workers of a model, from what was measured"),
            ("unregister", "unregister a model"),
            ("set-default", "choose the default version of a model"),
            ("predict", "ask a model of a running server"),
            ("workers", "list the workers of a running server"),
            ("ping", "ask a running server how it is"),
        )
    }
    _add_words(parsers)
    for name, parser in parsers.items():
        add_connection(parser)
        if name != "predict":
            parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
        act = getattr(ServerCommand, name.replace("-", "_"))
        parser.set_defaults(run=run, command=ServerCommand, act=act, json=False)


def _add_words(parsers: dict[str, argparse.ArgumentParser]) -> None:
    for name in ("describe", "scale", "advise", "unregister", "set-default", "predict"):
        parsers[name].add_argument("model", metavar="MODEL")
    parsers["workers"].add_argument("model", metavar="MODEL", nargs="?")
    parsers["describe"].add_argument("version", metavar="VERSION", nargs="?", help="a version, or: all")
    parsers["set-default"].add_argument("version", metavar="VERSION")
    for name in ("scale", "advise", "unregister", "predict"):
        parsers[name].add_argument("--version", help="the version; the default one if absent")
    _add_register(parsers["register"])
    advise = parsers["advise"]
    advise.add_argument("--p99", metavar="TIME", help="the time that 99 of 100 requests may take, as 50ms")
    advise.add_argument("--rate", type=int, metavar="N", help="requests a second; default: as callers bring")
    scale = parsers["scale"]
    scale.add_argument("--min", type=int, metavar="N", help="the least workers; with --autoscale: 1")
    scale.add_argument(
        "--max",
        type=int,
        metavar="N",
        help="the most workers; default: the least, with --autoscale one a CPU",
    )
    scale.add_argument(
        "--autoscale",
        action=argparse.BooleanOptionalAction,
        help="whether the server decides how many workers there are, from --min to --max",
    )
    scale.add_argument(
        "--idle-timeout",
        type=int,
        metavar="SECONDS",
        help="with --autoscale and --min 0: without a request for so long, the last worker goes",
    )
    scale.set_defaults(error=scale.error)
    for name in ("register", "scale"):
        parsers[name].add_argument("--no-wait", action="store_true", help="do not wait for the workers")
    body = parsers["predict"].add_mutually_exclusive_group()
    body.add_argument("-d", "--data", metavar="TEXT", help="the body; default: what standard input has")
    body.add_argument("-f", "--file", type=Path, metavar="FILE", help="a file with the body")
    parsers["predict"].add_argument(
        "--content-type", default="application/octet-stream", help="default: application/octet-stream"
    )


def _delay(text: str) -> int | str:
    return text if text == AUTO_WORD else int(text)


def _add_register(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("url", metavar="ARCHIVE", help="a file of the model store, or a URL")
    add("--name", help="the model's name; default: the archive's")
    add("--handler", help="the handler; default: the archive's")
    add("--workers", type=int, metavar="N", help="workers to start")
    add("--batch-size", type=int, metavar="N", help="the most requests in one batch")
    add(
        "--max-batch-delay",
        type=_delay,
        metavar="MS",
        help="milliseconds that a batch waits to be full; auto: as long as is worth it",
    )
    add("--response-timeout", type=int, metavar="S", help="seconds that a batch may take")
    add("--startup-timeout", type=int, metavar="S", help="seconds that loading may take")
    add("--sha256", metavar="HEX", help="what the archive's SHA-256 must be")


def run(arguments: argparse.Namespace) -> int:
    """Run the subcommand; return 1 if the server refuses, 2 for wrong arguments, 3 if there is no server."""
    return run_on(arguments, remote_of, sys.stdout, sys.stderr)


def run_on(
    arguments: argparse.Namespace,
    find: Callable[[argparse.Namespace], Remote],
    output: TextIO,
    errors: TextIO,
) -> int:
    """
    Run the subcommand with a given terminal.

    :param find: returns the server that the options mean.
    """
    remarks = Console(file=errors, highlight=False)
    terminal = Terminal(Console(file=output), remarks, output.buffer, arguments.json)
    try:
        arguments.act(arguments.command(arguments, ServerCalls(find(arguments), terminal)))
    except RequestRefused as why:
        return _fail(remarks, str(why), REFUSED)
    except Unreachable as why:
        return _fail(remarks, str(why), UNREACHABLE)
    except (ValueError, OSError) as why:
        return _fail(remarks, str(why), USAGE)
    return 0


def _fail(remarks: Console, reason: str, status: int) -> int:
    remarks.print(f"modelserver: {one_line(reason)}", markup=False, soft_wrap=True)
    return status
