"""How cost grows: with workers, connections (idle and active), registered models and the size of bodies."""

from __future__ import annotations

import argparse
import resource
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import attrs
from attrs import define, frozen
from rich.console import Console

from bench.cases import Case
from bench.client import build_request, connect
from bench.load import Figures, Load, put
from bench.selection import add_arguments, choose_targets, start_all
from bench.sheet import Sheet, describe_machine, megabytes, milliseconds, write_json, write_markdown
from bench.target import Deployment, Target

CONNECTIONS = 64
MANY_CONNECTIONS = 1000
MANY_MODELS = 500
WORKERS = (1, 2, 4, 8)
SIZES = (100, 1_000, 10_000, 100_000, 1_000_000, 5_000_000)


@frozen
class Step:
    """One point on a curve; ``memory`` is the proportional memory of the whole server, in bytes."""

    axis: str
    target: str
    at: str
    figures: Figures
    memory: int


@contextmanager
def idle_connections(port: int, count: int) -> Iterator[int]:
    """
    Hold connections that have asked ``/ping`` once and stay silent.

    :returns: how many the server took.
    """
    request = build_request("GET", "/ping", b"")
    with ExitStack() as stack:
        taken = 0
        for _ in range(count):
            with suppress(OSError):
                sock: socket.socket = stack.enter_context(connect(port))
                sock.sendall(request)
                taken += b" 200" in sock.recv(65536)
        yield taken


@define
class Curves:
    """Measures one server along each axis."""

    target: Target
    seconds: int
    client: str
    folder: Path
    say: Callable[[str], None]

    def workers(self) -> Iterator[Step]:
        """noop with more and more workers, at 64 connections."""
        with self._model("noop", "noop"):
            for count in WORKERS:
                self.target.scale("noop", count)
                yield self._step("workers", str(count), "noop", 100, CONNECTIONS)

    def connections(self) -> Iterator[Step]:
        """noop with 64 connections alone, beside 1,000 idle ones, and with 1,000 active ones."""
        with self._model("noop", "noop"):
            yield self._step("connections", f"{CONNECTIONS}", "noop", 100, CONNECTIONS)
            with idle_connections(self.target.port, MANY_CONNECTIONS) as taken:
                yield self._step("connections", f"{CONNECTIONS} + {taken} idle", "noop", 100, CONNECTIONS)
            yield self._step("connections", f"{MANY_CONNECTIONS}", "noop", 100, MANY_CONNECTIONS)

    def models(self) -> Iterator[Step]:
        """noop alone, and beside 500 registered models without workers."""
        names = [f"idle{number}" for number in range(MANY_MODELS)]
        with self._model("noop", "noop"), ExitStack() as stack:
            yield self._step("models", "1", "noop", 100, CONNECTIONS)
            for name in names:
                self.target.register(Deployment(name, "noop", workers=0))
                stack.callback(self.target.unregister, name)
            yield self._step("models", f"1 + {MANY_MODELS} idle", "noop", 100, CONNECTIONS)

    def bodies(self) -> Iterator[Step]:
        """echo with larger and larger bodies, at 8 connections."""
        with self._model("echo", "echo"):
            for size in SIZES:
                yield self._step("body bytes, echo", f"{size:,}", "echo", size, 8)

    @contextmanager
    def _model(self, name: str, handler: str) -> Iterator[None]:
        self.target.register(Deployment(name, handler))
        try:
            yield
        finally:
            self.target.unregister(name)

    def _step(self, axis: str, at: str, model: str, size: int, connections: int) -> Step:
        self.say(f"{self.target.name}: {axis} {at}")
        case = Case(model, model, model, (), body=size, length=size if model == "echo" else 2)
        body = case.write_body(self.folder)
        path = f"/predictions/{model}"
        put(Load(self.target.port, path, body, connections, 1, case.length), self.target.tree, self.client)
        load = Load(self.target.port, path, body, connections, self.seconds, case.length)
        figures = put(load, self.target.tree, self.client)
        return Step(axis, self.target.name, at, figures, self.target.tree.memory().pss)


AXES: dict[str, Callable[[Curves], Iterator[Step]]] = {
    "workers": Curves.workers,
    "connections": Curves.connections,
    "models": Curves.models,
    "bodies": Curves.bodies,
}


def sheet(axis: str, steps: list[Step]) -> Sheet:
    """The table of one axis."""
    rows = tuple(
        (
            step.at,
            step.target,
            f"{step.figures.rate:,.0f}",
            milliseconds(step.figures.p50),
            milliseconds(step.figures.p99),
            f"{step.figures.cpu * 1e6:,.0f}",
            megabytes(step.memory),
            f"{step.figures.errors} {step.figures.first_error}".strip(),
            f"{step.figures.load:.2f}",
        )
        for step in steps
    )
    columns = ("at", "server", "req/s", "p50 ms", "p99 ms", "CPU us/req", "PSS MB", "errors", "load")
    return Sheet(f"Growth with {axis}", columns, rows)


def main() -> None:
    """Measure along every axis, or those asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__)
    parser.add_argument("--axes", default="", help="comma-separated, of: " + ",".join(AXES))
    parser.add_argument("--seconds", type=int, default=3, help="of each measurement")
    add_arguments(parser, servers="modelserver")
    options = parser.parse_args()
    wanted = [name for name in options.axes.split(",") if name] or list(AXES)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    console = Console(width=200)
    console.print(describe_machine())
    steps: list[Step] = []
    sheets: list[Sheet] = []
    with ExitStack() as stack:
        scratch = tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True)
        folder = Path(stack.enter_context(scratch))
        started = start_all(choose_targets(options, folder, console.print), stack, console.print)
        for axis in wanted:
            found: list[Step] = []
            for target, _ in started:
                found += AXES[axis](Curves(target, options.seconds, options.client, folder, console.print))
            sheets.append(sheet(axis, found))
            sheets[-1].show(console)
            steps += found
    if options.json:
        write_json(options.json, {"growth": [attrs.asdict(step) for step in steps]})
    if options.markdown:
        write_markdown(options.markdown, sheets)


if __name__ == "__main__":
    main()
