"""
``python -m bench.delay``: the delay of batches that the server chooses, beside fixed ones.

A lone caller of a handler of 5 ms: batches of up to 32 with ``max_batch_delay=auto`` beside batch size 1.
Many callers of handlers of 5 and 10 ms: ``auto`` beside each of several fixed delays. Settings go in turn,
round by round.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs
from attrs import frozen
from rich.console import Console

from bench.load import Load, put
from bench.selection import add_arguments, own_server
from bench.servers import ModelServer
from bench.sheet import Sheet, describe_machine, write_json, write_markdown
from bench.target import Deployment

AUTO = "auto"
DELAYS = ("0", "1", "2", "5", "20", "100", AUTO)
"""Milliseconds."""


@frozen
class Setting:
    """A handler with its batch size and its delay, in milliseconds or ``auto``."""

    handler: str
    batch_size: int
    delay: str

    @property
    def name(self) -> str:
        """The name of its model."""
        return f"{self.handler}-{self.batch_size}-{self.delay}"


@frozen
class Point:
    """One measurement."""

    setting: Setting
    connections: int
    rate: float
    p50: float
    p99: float
    errors: int
    load: float


def points(connections: Sequence[int]) -> Iterator[tuple[int, Sequence[Setting]]]:
    """What is compared: settings, at so many connections."""
    yield 1, [Setting("five", 1, "100"), Setting("five", 32, AUTO), Setting("five", 32, "0")]
    for handler in ("five", "wait"):
        for count in connections:
            yield count, [Setting(handler, 32, delay) for delay in DELAYS]


def register(target: ModelServer, setting: Setting) -> None:
    """Register a setting's model."""
    chosen = (("max_batch_delay", setting.delay),)
    target.register(
        Deployment(setting.name, setting.handler, batch_size=setting.batch_size, parameters=chosen)
    )


def measure(
    target: ModelServer, connections: Sequence[int], rounds: int, seconds: int, body: Path, client: str
) -> Iterator[Point]:
    """Measure every point so often; the settings of a point in turn, each warm."""
    for count, settings in points(connections):
        for setting in settings:
            register(target, setting)
            put(Load(target.port, f"/predictions/{setting.name}", body, count, 1), target.tree, client)
        for _ in range(rounds):
            for setting in settings:
                load = Load(target.port, f"/predictions/{setting.name}", body, count, seconds)
                found = put(load, target.tree, client)
                yield Point(setting, count, found.rate, found.p50, found.p99, found.errors, found.load)
        for setting in settings:
            target.unregister(setting.name)


def sheet(found: Sequence[Point]) -> Sheet:
    """Return the table; *of best* compares with the best fixed delay at as many connections."""
    keys = dict.fromkeys((each.connections, each.setting) for each in found)
    columns = (
        *("handler", "batch size", "delay ms", "conn.", "req/s", "of best", "p50 ms", "p99 ms", "errors"),
        "load",
    )
    return Sheet("Delay of batches", columns, tuple(_row(key, found) for key in keys))


def _row(key: tuple[int, Setting], found: Sequence[Point]) -> tuple[str, ...]:
    connections, setting = key
    mine = [each for each in found if (each.connections, each.setting) == key]
    rate = statistics.median(each.rate for each in mine)
    p50, p99 = (statistics.median(getattr(each, name) for each in mine) for name in ("p50", "p99"))
    return (
        *(setting.handler, str(setting.batch_size), setting.delay, str(connections), f"{rate:,.0f}"),
        f"{100 * rate / best_fixed(found, connections, setting.handler):.1f} %",
        *(f"{p50 * 1000:.2f}", f"{p99 * 1000:.2f}", str(sum(each.errors for each in mine))),
        f"{statistics.median(each.load for each in mine):.2f}",
    )


def best_fixed(found: Sequence[Point], connections: int, handler: str) -> float:
    """Return the best median rate among fixed delays."""
    rates: dict[Setting, list[float]] = {}
    for each in found:
        if each.connections == connections and each.setting.handler == handler and each.setting.delay != AUTO:
            rates.setdefault(each.setting, []).append(each.rate)
    return max(statistics.median(each) for each in rates.values())


def main() -> None:
    """Compare delays."""
    parser = argparse.ArgumentParser(prog="python -m bench.delay", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2, help="of each measurement")
    parser.add_argument("--connections", default="64", help="of many callers, comma-separated")
    add_arguments(parser)
    options = parser.parse_args()
    console = Console(width=160)
    console.print(describe_machine())
    connections = [int(each) for each in options.connections.split(",")]
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        target = own_server(options, Path(folder))
        body = Path(folder) / "body"
        body.write_bytes(b"x" * 100)
        target.start()
        try:
            found = list(measure(target, connections, options.rounds, options.seconds, body, options.client))
        finally:
            target.stop()
    shown = sheet(found)
    shown.show(console)
    if options.json:
        write_json(options.json, {"delay": [attrs.asdict(each) for each in found]})
    if options.markdown:
        write_markdown(options.markdown, [shown])


if __name__ == "__main__":
    main()
