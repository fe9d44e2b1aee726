"""
``python -m bench.start``: how long a start takes until the first ``/ping``, and what the server holds.

Each round starts the server as a user does (``modelserver serve``) and as twistd does (``twistd -n
modelserver``), with gRPC listening, without a model, and with compiled bytecode, as pip installs it; with
``--against`` each in turn with another checkout. With ``--requests`` one server then echoes so many bodies of
100 bytes to 1 MB, and is weighed again when it has been idle for ten seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import compileall
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path

import attrs
import psutil
from attrs import define, frozen
from rich.console import Console

from bench.servers import CHECKOUT, ModelServer
from bench.sheet import Sheet, describe_machine, write_json, write_markdown
from bench.target import HOST, START_SECONDS, Deployment, TargetFailed

WAYS = {
    "modelserver serve": (
        "import sys; from modelserver.cli.main import main; sys.exit(main())",
        ("serve",),
    ),
    "twistd -n modelserver": (
        "from twisted.scripts.twistd import run; run()",
        ("-n", "--pidfile=", "modelserver"),
    ),
}
"""What the commands of these names run, and their words before the options of the server."""

PAUSE = 0.002
"""Seconds between two looks whether the server answers."""
SETTLING = 1.0
"""Seconds from the first ``/ping`` to the weighing."""
SIZES = (100, 1_000, 10_000, 100_000, 1_000_000)
IDLE = 10.0
MEGABYTE = 1_000_000
_PING = b"GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@define
class Started(ModelServer):
    """A server that is started in one of the ways, from any checkout."""

    way: str = "modelserver serve"
    checkout: Path = CHECKOUT

    def command(self) -> list[str]:
        """Return the command line, with the options of the server behind the words of the way."""
        options = ModelServer.command(self)
        program, words = WAYS[self.way]
        return [sys.executable, "-c", program, *words, *options[options.index("--model-store") :]]

    def environment(self) -> dict[str, str]:
        """The checkout comes first."""
        return {"PYTHONPATH": str(self.checkout)}

    def is_up(self) -> bool:
        """Ask as cheaply as can be: what looks takes processor time from what starts."""
        try:
            with socket.create_connection((HOST, self.port), timeout=2.0) as connection:
                connection.sendall(_PING)
                return connection.recv(64).startswith(b"HTTP/1.1 200")
        except OSError:
            return False


@frozen
class Start:
    """One start: seconds to the first ``/ping``, and the resident bytes of the server a second later."""

    way: str
    checkout: str
    seconds: float
    rss: int


@frozen
class Weights:
    """Resident bytes of the server process: before a load, at its end, and when it has been idle."""

    requests: int
    before: int
    loaded: int
    idle: int


@contextmanager
def started(way: str, checkout: Path) -> Iterator[tuple[Started, float]]:
    """
    Start a server, and end it.

    :raises TargetFailed: it did not start.
    """
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        target = Started("modelserver", Path(folder), has_rpc=True, way=way, checkout=checkout)
        try:
            yield target, _start(target)
        finally:
            target.stop()


def _start(target: Started) -> float:
    """Start it as ``Target.start`` does, with shorter pauses between looks."""
    begun = time.monotonic()
    child = target.launch()
    while time.monotonic() - begun < START_SECONDS and child.poll() is None:
        if target.is_up():
            return time.monotonic() - begun
        time.sleep(PAUSE)
    raise TargetFailed(f"{target.name} did not start:\n{target.output()}")


def resident(target: Started) -> int:
    """Return the resident bytes of the server process, without workers."""
    found: int = psutil.Process(target.tree.pid).memory_info().rss
    return found


def measure(rounds: int, checkouts: Sequence[Path]) -> Iterator[Start]:
    """Start each way from each checkout, in turn, so often."""
    for number in range(rounds):
        for way in WAYS:
            for checkout in checkouts if number % 2 else reversed(checkouts):
                with started(way, checkout) as (target, seconds):
                    time.sleep(SETTLING)
                    yield Start(way, str(checkout), seconds, resident(target))


def weigh(requests: int, connections: int, checkout: Path) -> Weights:
    """
    Weigh a server around a load of bodies of all sizes, which it echoes.

    :raises TargetFailed: an answer was not the body that was sent.
    """
    with started("modelserver serve", checkout) as (target, _):
        target.register(Deployment("echo", "echo"))
        time.sleep(SETTLING)
        before = resident(target)
        asyncio.run(_load(target.port, requests, connections))
        loaded = resident(target)
        time.sleep(IDLE)
        return Weights(requests, before, loaded, resident(target))


async def _load(port: int, requests: int, connections: int) -> None:
    sizes = iter(list(islice(cycle(SIZES), requests)))
    await asyncio.gather(*(_ask(port, sizes) for _ in range(connections)))


async def _ask(port: int, sizes: Iterator[int]) -> None:
    reader, writer = await asyncio.open_connection(HOST, port)
    for size in sizes:
        head = f"POST /predictions/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n"
        writer.write(head.encode() + b"x" * size)
        answer = await reader.readuntil(b"\r\n\r\n")
        fields = answer.lower().split(b"\r\n")
        length = next(int(each[15:]) for each in fields if each.startswith(b"content-length:"))
        body = await reader.readexactly(length)
        if not answer.startswith(b"HTTP/1.1 200") or len(body) != size:
            raise TargetFailed(f"{size} bytes were answered with {len(body)}: {answer!r}")
    writer.close()
    await writer.wait_closed()


def sheet(starts: Sequence[Start]) -> Sheet:
    """Return the table: a row for each way and checkout."""
    keys = dict.fromkeys((each.way, each.checkout) for each in starts)
    columns = ("started by", "checkout", "starts", "to /ping s", "fastest", "slowest", "RSS MB")
    return Sheet("Start", columns, tuple(_row(key, starts) for key in keys))


def _row(key: tuple[str, str], starts: Sequence[Start]) -> tuple[str, ...]:
    way, checkout = key
    mine = [each for each in starts if (each.way, each.checkout) == key]
    seconds = [each.seconds for each in mine]
    rss = statistics.median(each.rss for each in mine) / MEGABYTE
    times = (statistics.median(seconds), min(seconds), max(seconds))
    name = "this" if Path(checkout) == CHECKOUT else checkout
    return (way, name, str(len(mine)), *(f"{each:.2f}" for each in times), f"{rss:.1f}")


def weights_sheet(found: Weights) -> Sheet:
    """Return the table of what the server holds around a load."""
    columns = ("requests", "RSS before, MB", "at the end", f"after {IDLE:g} s idle")
    row = (found.before, found.loaded, found.idle)
    weights = (f"{each / MEGABYTE:.1f}" for each in row)
    return Sheet("After bodies of 100 B to 1 MB", columns, ((f"{found.requests:,}", *weights),))


def main() -> None:
    """Measure starts, and what the server holds after a load where that is asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench.start", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="starts in each way")
    parser.add_argument("--against", type=Path, metavar="CHECKOUT", help="another checkout, in turn")
    parser.add_argument("--requests", type=int, default=0, help="weigh around so many requests, too")
    parser.add_argument("--connections", type=int, default=16, help="of these requests")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    options = parser.parse_args()
    console = Console(width=160)
    console.print(describe_machine())
    checkouts = [CHECKOUT] if options.against is None else [CHECKOUT, options.against.resolve()]
    for checkout in checkouts:
        compileall.compile_dir(checkout / "modelserver", quiet=1)
    starts = list(measure(options.rounds, checkouts))
    sheets = [sheet(starts)] if starts else []
    weighed = [weigh(options.requests, options.connections, CHECKOUT)] if options.requests else []
    sheets += map(weights_sheet, weighed)
    for each in sheets:
        each.show(console)
    if options.json:
        rows = {"starts": list(map(attrs.asdict, starts)), "weights": list(map(attrs.asdict, weighed))}
        write_json(options.json, rows)
    if options.markdown:
        write_markdown(options.markdown, sheets)


if __name__ == "__main__":
    main()
