"""
``python -m bench.scaling``: past two cores, by simulation; and two servers beside one, measured.

The simulation has requests that come at a rate, fronts that each take their time for one after the other, and
for each front its own queue and workers, which take what waits, up to a batch. So it shows when one front is
the limit, and what several fronts with fewer workers each do to the filling of batches and to latency. Each
connection belongs to one front, as with SO_REUSEPORT or a balancer of connections (``random``), or each
request goes to the front with the fewest in hand (``least``), as balancers of requests can do.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from heapq import heappop, heappush
from pathlib import Path
from random import Random

import attrs
from attrs import define, field, frozen
from rich.console import Console

from bench.load import Figures, Load, put
from bench.selection import add_arguments, own_server
from bench.servers import ModelServer
from bench.sheet import Sheet, describe_machine, write_json, write_markdown
from bench.target import Deployment

FRONT, FRONT_BYTE, OUTSIDE = 20e-6, 0.25e-9, 14e-6
"""Seconds of the front for a request and for a byte of it; of a worker for a request outside its handler."""
CONNECTIONS = 1024


@frozen
class Machine:
    """
    What is simulated.

    :param fixed: seconds of the handler for a batch, and ``each`` for each request of it.
    :param body: bytes of a request and of its answer together.
    :param balance: ``random`` or ``least``.
    """

    cores: int
    fronts: int
    fixed: float
    each: float
    batch_size: int
    body: int = 1000
    balance: str = "random"

    @property
    def workers(self) -> int:
        """The workers of each front: a core for each that no front has."""
        return max(1, (self.cores - self.fronts) // self.fronts)

    @property
    def front(self) -> float:
        """Seconds of a front for a request."""
        return FRONT + FRONT_BYTE * self.body

    @property
    def most(self) -> float:
        """Requests a second that all workers could do with full batches."""
        batch = self.fixed + (self.each + OUTSIDE) * self.batch_size
        return self.fronts * self.workers * self.batch_size / batch


@define(eq=False)
class Front:
    """One server: requests in hand, those of them that wait for a worker, and how many workers are idle."""

    idle: int
    free_at: float = 0.0
    in_hand: int = 0
    waiting: deque[float] = field(factory=deque)


@frozen
class Outcome:
    """Requests a second that were answered, the mean size of batches, and seconds."""

    machine: Machine
    offered: float
    rate: float
    batch: float
    p50: float
    p99: float


@define(eq=False)
class Simulation:
    """A run: events in the order of their time."""

    machine: Machine
    random: Random
    _events: list[tuple[float, int, str, Front, tuple[float, ...]]] = field(factory=list, init=False)
    _count: int = field(default=0, init=False)
    _latencies: list[float] = field(factory=list, init=False)
    _batches: list[int] = field(factory=list, init=False)

    def run(self, rate: float, requests: int) -> Outcome:
        """Let so many requests come at a rate; the first tenth is not counted."""
        machine = self.machine
        fronts = [Front(machine.workers) for _ in range(machine.fronts)]
        homes = [self.random.choice(fronts) for _ in range(CONNECTIONS)]
        now = 0.0
        for _ in range(requests):
            now += self.random.expovariate(rate)
            self._advance(now)
            if machine.balance == "least":
                front = min(fronts, key=lambda each: each.in_hand)
            else:
                front = self.random.choice(homes)
            front.in_hand += 1
            front.free_at = max(front.free_at, now) + machine.front
            self._note(front.free_at, "ready", front, (now,))
        self._advance(now)
        answered = len(self._latencies)
        self._advance(now + 3600.0)  # the last ones have their latency, too
        found = self._latencies[len(self._latencies) // 10 :] or [0.0]
        cuts = statistics.quantiles(found, n=100) if len(found) > 1 else found * 99
        return Outcome(
            machine=machine,
            offered=rate,
            rate=answered / now,
            batch=statistics.fmean(self._batches) if self._batches else 0.0,
            p50=cuts[49],
            p99=cuts[98],
        )

    def _note(self, at: float, kind: str, front: Front, arrivals: tuple[float, ...]) -> None:
        self._count += 1
        heappush(self._events, (at, self._count, kind, front, arrivals))

    def _advance(self, until: float) -> None:
        while self._events and self._events[0][0] <= until:
            at, _, kind, front, arrivals = heappop(self._events)
            if kind == "ready":
                front.waiting += arrivals
            else:
                front.idle += 1
                front.in_hand -= len(arrivals)
                self._latencies += [at - each for each in arrivals]
            self._hand_out(at, front)

    def _hand_out(self, now: float, front: Front) -> None:
        machine = self.machine
        while front.idle and front.waiting:
            size = min(machine.batch_size, len(front.waiting))
            arrivals = tuple(front.waiting.popleft() for _ in range(size))
            front.idle -= 1
            self._batches.append(size)
            self._note(now + machine.fixed + (machine.each + OUTSIDE) * size, "done", front, arrivals)


HANDLERS = {
    "noop": (0.0, 0.0, 1, 1000),
    "10 ms a batch of 32": (0.010, 0.0, 32, 1000),
    "2 ms + 0.2 ms each, batch of 32": (0.002, 0.0002, 32, 1000),
    "2 ms, 1 MB bodies": (0.002, 0.0, 1, 2_000_000),
}
"""The handler's seconds for a batch and for each request, the batch size, and bytes in and out."""


def simulated(cores: Sequence[int], shares: Sequence[float], requests: int) -> Iterator[tuple[str, Outcome]]:
    """Simulate each handler with one front and with more, at shares of what the workers of one could do."""
    for name, (fixed, each, size, body) in HANDLERS.items():
        for count in cores:
            most = Machine(count, 1, fixed, each, size, body).most
            for share in shares:
                for fronts in (1, 2, 4, count // 4):
                    for balance in ("random", "least") if fronts > 1 else ("random",):
                        machine = Machine(count, fronts, fixed, each, size, body, balance)
                        yield name, Simulation(machine, Random(7)).run(share * most, requests)


def sheet(found: Sequence[tuple[str, Outcome]]) -> Sheet:
    """Return the table of the simulation."""
    columns = (
        *("handler", "cores", "fronts", "workers each", "balance", "offered/s", "answered", "mean batch"),
        *("p50 ms", "p99 ms"),
    )
    rows = dict.fromkeys(_row(name, outcome) for name, outcome in found)
    return Sheet("Simulation", columns, tuple(rows))


def _row(name: str, outcome: Outcome) -> tuple[str, ...]:
    machine = outcome.machine
    return (
        *(name, str(machine.cores), str(machine.fronts), str(machine.workers), machine.balance),
        *(f"{outcome.offered:,.0f}", f"{100 * outcome.rate / outcome.offered:.0f} %", f"{outcome.batch:.1f}"),
        *(f"{outcome.p50 * 1000:.1f}", f"{outcome.p99 * 1000:.1f}"),
    )


def measured(options: argparse.Namespace, folder: Path) -> Sheet:
    """Measure one server with two workers beside two with one each, under as many connections together."""
    body = folder / "body"
    body.write_bytes(b"x" * 100)
    rows = []
    servers = [own_server(options, folder / str(number)) for number in range(3)]
    try:
        for server, workers in zip(servers, (2, 1, 1), strict=True):
            server.start()
            server.register(Deployment("noop", "noop", workers=workers))
        for _ in range(options.rounds + 1):  # the first is to warm up
            rows.append((_together(servers[:1], body, options), _together(servers[1:], body, options)))
    finally:
        for server in servers:
            server.stop()
    medians = [statistics.median(row[number] for row in rows[1:]) for number in (0, 1)]
    shown = tuple((name, f"{rate:,.0f}") for name, rate in zip(("1 x 2", "2 x 1"), medians, strict=True))
    return Sheet("Measured: servers x workers, noop, 64 connections in all", ("servers", "req/s"), shown)


def _together(servers: Sequence[ModelServer], body: Path, options: argparse.Namespace) -> float:
    """Return the requests a second of servers that are under load at the same time."""

    def ask(server: ModelServer) -> Figures:
        load = Load(server.port, "/predictions/noop", body, 64 // len(servers), options.seconds)
        return put(load, server.tree, options.client)

    with ThreadPoolExecutor(len(servers)) as threads:
        return sum(figures.rate for figures in threads.map(ask, servers))


def main() -> None:
    """Simulate, and measure where that is asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench.scaling", description=__doc__)
    parser.add_argument("--cores", default="16,64", help="of the simulated machines, comma-separated")
    parser.add_argument("--shares", default="0.3,0.8", help="of what the workers could do, comma-separated")
    parser.add_argument("--requests", type=int, default=40_000, help="of each simulated run")
    parser.add_argument("--measure", action="store_true", help="measure two servers beside one, too")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2)
    add_arguments(parser)
    options = parser.parse_args()
    console = Console(width=180)
    console.print(describe_machine())
    cores = [int(each) for each in options.cores.split(",")]
    shares = [float(each) for each in options.shares.split(",")]
    found = list(simulated(cores, shares, options.requests)) if cores and options.requests else []
    sheets = [sheet(found)] if found else []
    if options.measure:
        with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
            sheets.append(measured(options, Path(folder)))
    for each in sheets:
        each.show(console)
    if options.json:
        write_json(options.json, {"simulation": [attrs.asdict(outcome) for _, outcome in found]})
    if options.markdown:
        write_markdown(options.markdown, sheets)


if __name__ == "__main__":
    main()
