"""
A client of many connections that all ask at the same moment, again and again; some requests are slow ones.

Runs as a process of its own (``python -m bench.bursts``) and prints one line of JSON, as ``bench.client``
does: of the fast requests alone. Between two bursts there is time for a slow request to end, so that two are
never at work together: with more of them than workers, nothing would help the fast ones.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import time
from collections.abc import Sequence
from pathlib import Path

from attrs import define, field

from bench.client import build_request, percentile
from bench.handlers.mixed import SLOW
from bench.open_load import Client
from bench.target import HOST


@define(eq=False)
class Bursts:
    """
    Asks, and keeps the time that each fast request took.

    :param every: seconds from one burst to the next.
    :param slow_every: one request in so many is slow; 0: none.
    """

    options: argparse.Namespace
    fast: bytes
    slow: bytes
    sent: int = 0
    latencies: list[float] = field(factory=list)
    errors: dict[str, int] = field(factory=dict)

    async def run(self) -> float:
        """Return the seconds that it took."""
        options, loop = self.options, asyncio.get_running_loop()
        clients = []
        for _ in range(options.connections):
            _, client = await loop.create_connection(Client, HOST, options.port)
            clients.append(client)
        begun = loop.time()
        burst = 0
        while burst * options.every < options.seconds:
            await asyncio.sleep(max(0.0, begun + burst * options.every - loop.time()))
            await asyncio.gather(*(self._ask(client) for client in clients))
            burst += 1
        return loop.time() - begun

    async def _ask(self, client: Client) -> None:
        self.sent += 1
        is_slow = bool(self.options.slow_every) and self.sent % self.options.slow_every == 0
        begun = time.perf_counter()
        try:
            status, _ = await client.ask(self.slow if is_slow else self.fast)
        except (OSError, asyncio.TimeoutError) as error:
            self._count(type(error).__name__)
            return
        if status != 200:
            self._count(f"status {status}")
        elif not is_slow:
            self.latencies.append(time.perf_counter() - begun)

    def _count(self, error: str) -> None:
        self.errors[error] = self.errors.get(error, 0) + 1


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line of the client."""
    parser = argparse.ArgumentParser(prog="python -m bench.bursts", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", required=True)
    parser.add_argument("--body", required=True, help="file with the body of a fast request")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--every", type=float, default=0.15)
    parser.add_argument("--slow-every", type=int, default=0)
    return parser.parse_args(arguments)


def main() -> None:
    """Run the load and print the figures."""
    options = parse()
    body = Path(options.body).read_bytes()
    fast, slow = (build_request("POST", options.path, each) for each in (body, SLOW + body))
    bursts = Bursts(options, fast, slow)
    seconds = asyncio.run(bursts.run())
    latencies = sorted(bursts.latencies)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    told = {
        "requests": len(latencies),
        "seconds": seconds,
        "p50": percentile(latencies, 0.50),
        "p99": percentile(latencies, 0.99),
        "errors": bursts.errors,
        "cpu": usage.ru_utime + usage.ru_stime,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
