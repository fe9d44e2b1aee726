"""
``python -m bench.advice``: what the advice on a model is worth, beside a grid of settings.

For each handler, 1,000 requests go to a model with batches of up to 16 and one worker, from an eighth of the
callers, then a quarter, then all of them. Then advice is asked for, and the settings of the grid, with the
recommended ones among them, are measured in turn under all callers.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
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
from bench.target import HOST, Deployment, TargetFailed, call

BODIES = {"wait": 100, "cnn": 3 * 32 * 32 * 4, "grows": 10_000}
"""The handlers, and the bytes of their requests."""
SIZES, DELAYS, WORKERS = (1, 4, 16, 32, 64), ("0", "20", "auto"), (1, 2)
REQUESTS = 1000
FINAL_ROUNDS = 3


@frozen
class Tried:
    """
    Settings, and what came of them.

    :param p99: seconds.
    """

    handler: str
    batch_size: int
    delay: str
    workers: int
    rate: float
    p99: float
    is_recommended: bool

    @property
    def settings(self) -> tuple[int, str, int]:
        """The batch size, the delay and the workers."""
        return self.batch_size, self.delay, self.workers


class Callers:
    """Connections that each ask again when they have their answer."""

    def __init__(self, port: int, path: str, size: int) -> None:
        self._port = port
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n"
        self._request = head.encode() + bytes(size)

    async def run(self, count: int, requests: int) -> None:
        """Ask so often, from so many connections."""
        left = iter(range(requests))
        await asyncio.gather(*(self._ask(left) for _ in range(count)))

    async def _ask(self, left: Iterator[int]) -> None:
        reader, writer = await asyncio.open_connection(HOST, self._port)
        for _ in left:
            writer.write(self._request)
            head = await reader.readuntil(b"\r\n\r\n")
            fields = head.lower().split(b"\r\n")
            await reader.readexactly(
                next(int(each[15:]) for each in fields if each.startswith(b"content-length:"))
            )
            if not head.startswith(b"HTTP/1.1 200"):
                raise TargetFailed(head.decode("latin-1"))
        writer.close()


def advise(target: ModelServer, handler: str, callers: int, p99: str) -> dict[str, object]:
    """Put 1,000 requests on a model, and return the advice on it."""
    name = f"{handler}-seen"
    _register(target, name, handler, 16, "auto", 1)
    asking = Callers(target.port, f"/predictions/{name}", BODIES[handler])
    for count, share in ((callers // 8, 0.2), (callers // 4, 0.3), (callers, 0.5)):
        asyncio.run(asking.run(count, requests=int(REQUESTS * share)))
    code, body = call(target.management_port, "GET", f"/models/{name}/advice?p99={p99}")
    if code != 200:
        raise TargetFailed(body.decode())
    target.unregister(name)
    found: dict[str, object] = json.loads(body)
    return found


def _register(target: ModelServer, name: str, handler: str, size: int, delay: str, workers: int) -> None:
    parameters = (("max_batch_delay", delay),)
    target.register(Deployment(name, handler, workers=workers, batch_size=size, parameters=parameters))


def measure(
    target: ModelServer, handler: str, callers: int, seconds: int, chosen: tuple[int, str, int]
) -> Iterator[Tried]:
    """Measure the grid, and the recommended settings."""
    for size, delay, workers in dict.fromkeys((chosen, *itertools.product(SIZES, DELAYS, WORKERS))):
        if size == 1 and delay != "0" and (size, delay, workers) != chosen:
            continue
        yield try_out(target, handler, callers, seconds, (size, delay, workers), chosen)


def try_out(
    target: ModelServer,
    handler: str,
    callers: int,
    seconds: int,
    settings: tuple[int, str, int],
    chosen: tuple[int, str, int],
) -> Tried:
    """Measure a batch size, a delay and a number of workers."""
    size, delay, workers = settings
    name = f"{handler}-{size}-{delay}-{workers}"
    _register(target, name, handler, size, delay, workers)
    path = f"/predictions/{name}"
    asyncio.run(Callers(target.port, path, BODIES[handler]).run(callers, requests=4 * callers))
    body = target.folder / f"body-{handler}"
    body.write_bytes(bytes(BODIES[handler]))
    figures = put(Load(target.port, path, body, callers, seconds), target.tree)
    target.unregister(name)
    return Tried(handler, size, delay, workers, figures.rate, figures.p99, settings == chosen)


def final(
    target: ModelServer, callers: int, seconds: int, found: Sequence[Tried], limit: float
) -> Iterator[Tried]:
    """
    Measure the recommended settings and the best of the grid again, in turn.

    The best of many short measurements is in part the luckiest: only what is measured again can be compared.
    """
    chosen = next(each for each in found if each.is_recommended)
    best = best_of(found, limit)
    for each in (chosen, best) * FINAL_ROUNDS:
        yield try_out(target, each.handler, callers, seconds, each.settings, chosen.settings)


def best_of(found: Sequence[Tried], limit: float) -> Tried:
    """Return the fastest of those that keep p99; the recommended one where none does."""
    chosen = next(each for each in found if each.is_recommended)
    return max((each for each in found if each.p99 <= limit), key=lambda each: each.rate, default=chosen)


def medians(found: Sequence[Tried]) -> list[Tried]:
    """Return each settings' medians, of those that were measured most often."""
    by_settings: dict[tuple[int, str, int], list[Tried]] = {}
    for each in found:
        by_settings.setdefault(each.settings, []).append(each)
    most = max(len(rows) for rows in by_settings.values())
    return [
        attrs.evolve(
            rows[0],
            rate=statistics.median(row.rate for row in rows),
            p99=statistics.median(row.p99 for row in rows),
        )
        for rows in by_settings.values()
        if len(rows) == most
    ]


def sheet(found: Sequence[Tried], limit: float) -> Sheet:
    """Return a row for each handler: the recommended settings beside the best of the grid that keep p99."""
    columns = (
        *("handler", "recommended", "req/s", "p99 ms", "best of the grid", "req/s", "p99 ms", "of the best"),
    )
    return Sheet("Advice after 1,000 requests", columns, tuple(_rows(found, limit)))


def _rows(found: Sequence[Tried], limit: float) -> Iterator[tuple[str, ...]]:
    for handler in dict.fromkeys(each.handler for each in found):
        mine = medians([each for each in found if each.handler == handler])
        chosen, best = next(each for each in mine if each.is_recommended), best_of(mine, limit)
        yield (handler, *_shown(chosen), *_shown(best), f"{100 * chosen.rate / best.rate:.1f} %")


def _shown(tried: Tried) -> tuple[str, ...]:
    settings = f"batch {tried.batch_size}, delay {tried.delay}, workers {tried.workers}"
    return settings, f"{tried.rate:,.0f}", f"{tried.p99 * 1000:.1f}"


def main() -> None:
    """Compare advice with a grid."""
    parser = argparse.ArgumentParser(prog="python -m bench.advice", description=__doc__)
    parser.add_argument("--handlers", default=",".join(BODIES), help="comma-separated")
    parser.add_argument("--callers", type=int, default=64)
    parser.add_argument("--p99", type=int, default=300, help="milliseconds")
    parser.add_argument("--seconds", type=int, default=1, help="of each measurement")
    add_arguments(parser)
    options = parser.parse_args()
    console = Console(width=160)
    console.print(describe_machine())
    found: list[Tried] = []
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        target = own_server(options, Path(folder))
        target.start()
        try:
            for handler in options.handlers.split(","):
                advice = advise(target, handler, options.callers, f"{options.p99}ms")
                console.print(json.dumps(advice))
                settings = advice.get("recommended", advice["current"])
                assert isinstance(settings, dict)
                chosen = (settings["batch_size"], str(settings["max_batch_delay"]), settings["workers"])
                grid = list(measure(target, handler, options.callers, options.seconds, chosen))
                twice = 2 * options.seconds
                found += [*grid, *final(target, options.callers, twice, grid, options.p99 / 1000)]
        finally:
            target.stop()
    shown = sheet(found, options.p99 / 1000)
    shown.show(console)
    if options.json:
        write_json(options.json, {"advice": [attrs.asdict(each) for each in found]})
    if options.markdown:
        write_markdown(options.markdown, [shown])


if __name__ == "__main__":
    main()
