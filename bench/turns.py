"""
Several ways of serving, loaded in turn in short bursts: what else the machine does meets all of them alike.

A way is a server of its own, or the same server with something beside it.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import attrs
from attrs import field, frozen

from bench.load import Figures, Load, put
from bench.processes import Tree


@frozen
class Way:
    """
    One of the ways that are compared.

    :param around: entered before a burst and left after it; what it does then is no part of the burst.
    """

    name: str
    load: Load
    tree: Tree
    around: Callable[[], AbstractContextManager[object]] = nullcontext


@frozen
class Round:
    """
    The bursts of each way, by its name, in the order in which they ran.

    :param first: the way that the others are compared with.
    """

    bursts: dict[str, list[Figures]]
    first: str = field()

    @first.default
    def _first(self) -> str:
        return next(iter(self.bursts))

    def cpu(self, name: str) -> float:
        """Return CPU seconds of the server's tree for each request, over all bursts of a way."""
        bursts = self.bursts[name]
        requests = sum(each.requests for each in bursts)
        return sum(each.cpu * each.requests for each in bursts) / requests if requests else 0.0

    def rate(self, name: str) -> float:
        """Return the median of a way's rates."""
        return statistics.median(each.rate for each in self.bursts[name])

    def cpu_ratio(self, name: str) -> float:
        """Return how many times as much CPU time a request took as in the first way."""
        first = self.cpu(self.first)
        return self.cpu(name) / first if first else 0.0

    def rate_ratio(self, name: str) -> float:
        """Return the median of the ratios of rates of bursts that ran one near the other."""
        pairs = zip(self.bursts[name], self.bursts[self.first], strict=True)
        ratios = [own.rate / other.rate for own, other in pairs if other.rate]
        return statistics.median(ratios) if ratios else 0.0

    def errors(self, name: str) -> int:
        """Return the requests that failed."""
        return sum(each.errors for each in self.bursts[name])


def take_turns(ways: Sequence[Way], turns: int, warm_up: int, client: str = "auto") -> Round:
    """
    Load all ways, as often as there are turns, each time in another order.

    :param warm_up: seconds of load before all, on each server.
    """
    servers: set[int] = set()
    for way in ways:
        if warm_up and way.tree.pid not in servers:
            servers.add(way.tree.pid)
            put(attrs.evolve(way.load, seconds=warm_up), way.tree, client)
    found: dict[str, list[Figures]] = {way.name: [] for way in ways}
    for number in range(turns):
        shift = number // 2 % len(ways)
        order = [*ways[shift:], *ways[:shift]]
        for way in order if number % 2 else reversed(order):
            with way.around():
                found[way.name].append(put(way.load, way.tree, client))
    return Round(found)


def rows(rounds: Sequence[Round]) -> tuple[tuple[str, ...], ...]:
    """Return a line for each way: CPU of each round, then the medians of the rounds."""
    found = []
    for name in rounds[0].bursts:
        cpu = statistics.median(each.cpu(name) for each in rounds)
        found.append(
            (
                name,
                f"{cpu * 1e6:.1f}",
                " ".join(f"{each.cpu_ratio(name):.3f}" for each in rounds),
                f"{statistics.median(each.cpu_ratio(name) for each in rounds):.3f}",
                f"{statistics.median(each.rate(name) for each in rounds):,.0f}",
                f"{statistics.median(each.rate_ratio(name) for each in rounds):.3f}",
                str(sum(each.errors(name) for each in rounds)),
            )
        )
    return tuple(found)


COLUMNS = ("way", "CPU us/req", "CPU ratio of each round", "median", "req/s", "rate ratio", "errors")
"""The names of ``rows``' columns."""
