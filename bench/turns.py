"""
Several ways of serving, loaded in short turns: what else the machine does meets all of them alike.

A way is a server of its own, or the same server with something beside it. All servers are up all the time;
in each cycle every way has two turns, forth and back (A B C C B A), so that what changes steadily cancels
out. A cycle gives one ratio for each way: what a request costs beside the same in the first way, in that
cycle. What is told is the median of these ratios and its bounds. A way that is equal to the first one (a
control) shows what cannot be told.

That is what one start of the servers tells, and enough where all ways are one server. The same server
started again differs, by its addresses and the order in its tables, by more than these bounds say: where each
way is a server of its own, a start is one value (``Comparison.whole``), and there have to be many
(``sheets_of_starts``). A turn behind one of the same way finds the processor's caches filled: where ways are
servers, each has to begin as many cycles as any other (``Turns.rotates``).
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path

from attrs import define, field, frozen

from bench.intervals import Estimate, estimate, trimmed_mean
from bench.processes import Tree, nanoseconds
from bench.resting_client import FIRST_TURN, RestingClient
from bench.sheet import Sheet

FOREIGN = 0.06
"""Share of the machine that others, the host included, may use in a cycle that counts."""
TICKS = 100.0
"""Of the kernel's account of the whole machine, in a second: of a short cycle it tells little by itself."""


@frozen
class Way:
    """
    One of the ways that are compared.

    :param client: loads its server; ways may share one.
    :param around: entered before a turn and left after it; what it does then is no part of the turn.
    """

    name: str
    client: RestingClient
    tree: Tree
    around: Callable[[], AbstractContextManager[object]] = nullcontext


@define
class Account:
    """
    What one way had in a cycle.

    :param cpu: seconds of all processes of its server.
    :param read: bytes of answers.
    :param seconds: of load.
    """

    cpu: float = 0.0
    read: int = 0
    seconds: float = 0.0

    @property
    def cost(self) -> float:
        """CPU seconds for each byte of answers."""
        return self.cpu / self.read if self.read else 0.0

    @property
    def rate(self) -> float:
        """Bytes of answers a second."""
        return self.read / self.seconds if self.seconds else 0.0


@frozen
class Cycle:
    """
    Two turns of each way.

    :param foreign: share of the machine that was used by none of them.
    """

    ways: dict[str, Account]
    foreign: float


@frozen
class Comparison:
    """
    All cycles.

    :param first: the way that the others are compared with.
    :param most: share of the machine that others may use in a cycle that counts.
    :param bytes_each: of an answer, by way.
    :param errors: requests that failed, by way.
    :param control: a way that is as the first; ``whole`` compares the others with both. Empty: there is none.
    """

    cycles: Sequence[Cycle]
    first: str
    bytes_each: dict[str, float]
    errors: dict[str, int]
    most: float = FOREIGN
    control: str = ""

    @classmethod
    def joined(cls, parts: Sequence[Comparison]) -> Comparison:
        """Return the cycles of several comparisons of the same ways as one."""
        head = parts[0]
        errors = {name: sum(each.errors[name] for each in parts) for name in head.errors}
        cycles = [cycle for each in parts for cycle in each.cycles]
        return cls(cycles, head.first, head.bytes_each, errors, head.most, head.control)

    @property
    def quiet(self) -> Sequence[Cycle]:
        """Those in which nobody else used the machine."""
        return [each for each in self.cycles if each.foreign <= self.most]

    def cpu(self, name: str) -> float:
        """Return the median of CPU seconds for each request."""
        costs = [each.ways[name].cost for each in self.quiet]
        return statistics.median(costs) * self.bytes_each[name] if costs else 0.0

    def rate(self, name: str) -> float:
        """Return the median of requests a second."""
        rates = [each.ways[name].rate for each in self.quiet]
        return statistics.median(rates) / self.bytes_each[name] if rates else 0.0

    def cpu_ratio(self, name: str) -> Estimate:
        """Return how many times as much CPU time a request took as in the first way."""
        scale = self.bytes_each[name] / self.bytes_each[self.first]
        pairs = [(each.ways[name].cost, each.ways[self.first].cost) for each in self.quiet]
        return estimate([own / other * scale for own, other in pairs if other])

    def whole(self, name: str) -> float:
        """
        Return how many times as much CPU time a request took as in the first way, over all cycles together.

        What is done once in many cycles, as spans are sent, has its share of this, and none of a median. Of
        two servers that are equal, the mean is known better than either.
        """
        if not self.quiet:
            return 0.0
        equal = [self.first, self.control] if self.control and name != self.control else [self.first]
        return self._whole_cost(name) / statistics.fmean(self._whole_cost(each) for each in equal)

    def _whole_cost(self, name: str) -> float:
        accounts = [each.ways[name] for each in self.quiet]
        read = sum(each.read for each in accounts) / self.bytes_each[name]
        return sum(each.cpu for each in accounts) / read if read else 0.0

    def rate_ratio(self, name: str) -> Estimate:
        """Return how many times as many requests were answered as in the first way."""
        scale = self.bytes_each[self.first] / self.bytes_each[name]
        pairs = [(each.ways[name].rate, each.ways[self.first].rate) for each in self.quiet]
        return estimate([own / other * scale for own, other in pairs if other])


@define
class Turns:
    """
    Loads ways in turn.

    :param seconds: of each turn.
    :param most: see ``Comparison``.
    :param counts_rest: what a server does in the turns of others counts as its own: spans that it sends late.
    :param rotates: each way in turn begins a cycle; False: it is the first one that does.
    :param control: see ``Comparison``.
    """

    ways: Sequence[Way]
    seconds: float
    most: float = FOREIGN
    counts_rest: bool = True
    rotates: bool = False
    control: str = ""
    _pids: dict[str, list[int]] = field(init=False, factory=dict)
    _known: set[int] = field(init=False, factory=set)
    """All processes of the measurement: this one, and what it has started."""

    def take(self, cycles: int, told: Callable[[Cycle], object] = lambda cycle: None) -> Comparison:
        """Run so many cycles, after a first turn that all ways have at once."""
        clients = list({id(way.client): way.client for way in self.ways}.values())
        with ExitStack() as stack:
            for client in clients:
                stack.callback(client.kill)
                client.start()
            time.sleep(FIRST_TURN)
            for client in clients:
                client.rest()
            self._pids = {way.name: [each.pid for each in way.tree.members()] for way in self.ways}
            self._known = {each.pid for each in Tree(os.getpid()).members()}
            found = []
            for number in range(cycles):
                begins = number % len(self.ways) if self.rotates else 0
                found.append(self._cycle([*self.ways[begins:], *self.ways[:begins]]))
                told(found[-1])
            ends = {id(client): client.finish() for client in clients}
        named = {way.name: ends[id(way.client)] for way in self.ways}
        return Comparison(
            found,
            self.ways[0].name,
            {name: each for name, (each, _) in named.items()},
            {name: errors for name, (_, errors) in named.items()},
            self.most,
            self.control,
        )

    def _cycle(self, ways: Sequence[Way]) -> Cycle:
        accounts = {way.name: Account() for way in ways}
        begun, stolen, others = time.monotonic(), stolen_seconds(), self._others()
        before = {name: nanoseconds(pids) for name, pids in self._pids.items()}
        for way in (*ways, *reversed(ways)):
            account = accounts[way.name]
            with way.around():
                read, spent = way.client.bytes_read(), nanoseconds(self._pids[way.name])
                account.seconds += way.client.work(self.seconds)
                account.read += way.client.bytes_read() - read
                account.cpu += (nanoseconds(self._pids[way.name]) - spent) / 1e9
        if self.counts_rest:
            for name, pids in self._pids.items():
                accounts[name].cpu = (nanoseconds(pids) - before[name]) / 1e9
        used = sum(max(0, now - others.get(pid, 0)) for pid, now in self._others().items()) / 1e9
        whole = (time.monotonic() - begun) * (os.cpu_count() or 1)
        return Cycle(accounts, (used + stolen_seconds() - stolen) / whole)

    def _others(self) -> dict[int, int]:
        """Return the CPU nanoseconds of each process that has nothing to do with this; what ends is lost."""
        pids = {int(name) for name in os.listdir("/proc") if name.isdecimal()} - self._known
        return {pid: nanoseconds([pid]) for pid in pids}


def stolen_seconds() -> float:
    """Return the CPU seconds that the host has given to others while this machine wanted them."""
    with Path("/proc/stat").open() as lines:
        return int(lines.readline().split()[8]) / TICKS


def rows(found: Comparison) -> Iterator[tuple[str, ...]]:
    """Yield a line for each way."""
    for name, errors in found.errors.items():
        is_first = name == found.first
        yield (
            name,
            f"{found.cpu(name) * 1e6:.1f}",
            "" if is_first else found.cpu_ratio(name).excess(),
            f"{found.rate(name):,.0f}",
            "" if is_first else found.rate_ratio(name).excess(),
            str(errors),
        )


COLUMNS = ("way", "CPU us/req", "CPU % (95 % bounds)", "req/s", "rate % (95 % bounds)", "errors")
"""The names of ``rows``' columns."""


def sheets(title: str, rounds: Sequence[Comparison]) -> list[Sheet]:
    """Return a table of each round, and one of all."""
    named = [(f"round {number}", each) for number, each in enumerate(rounds, 1)]
    if len(rounds) > 1:
        named.append(("all rounds", Comparison.joined(rounds)))
    found = []
    for name, each in named:
        foreign = statistics.median(cycle.foreign for cycle in each.cycles)
        count = f"{len(each.quiet)} of {len(each.cycles)} cycles, others used {foreign:.0%}"
        found.append(Sheet(f"{title}, {name} ({count})", COLUMNS, tuple(rows(each))))
    return found


OF_STARTS = ("way", "CPU us/req", "CPU %, mean of starts (95 % bounds)", "by starts", "req/s", "errors")


def sheets_of_starts(title: str, starts: Sequence[Comparison]) -> list[Sheet]:
    """Return a table of several starts of the same servers, each one value if most of it was quiet."""
    used = statistics.median(cycle.foreign for each in starts for cycle in each.cycles)
    counted = [each for each in starts if len(each.quiet) > len(each.cycles) / 2]
    count = f"{len(counted)} of {len(starts)} starts, others used {used:.0%}"
    return [Sheet(f"{title} ({count})", OF_STARTS, tuple(rows_of_starts(counted)))]


def rows_of_starts(starts: Sequence[Comparison]) -> Iterator[tuple[str, ...]]:
    """Yield a line for each way."""
    for name in starts[0].errors if starts else ():
        wholes = [each.whole(name) for each in starts]
        is_first = name == starts[0].first
        yield (
            name,
            f"{statistics.median(each.cpu(name) for each in starts) * 1e6:.1f}",
            "" if is_first else estimate(wholes, trimmed_mean).excess(),
            "" if is_first else " ".join(f"{(each - 1) * 100:+.1f}" for each in sorted(wholes)),
            f"{statistics.median(each.rate(name) for each in starts):,.0f}",
            str(sum(each.errors[name] for each in starts)),
        )
