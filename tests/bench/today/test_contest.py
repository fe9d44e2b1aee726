"""Servers are measured one after the other, in an order that changes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import TestCase

import pytest
from attrs import define, field

from bench.cases import Case
from bench.load import Load
from bench.servers import Floor
from bench.target import TargetFailed
from bench.today.contest import Contender, Plan, Served, contest
from tests.bench.today.cases import case_of

NOOP = case_of("noop")


@define
class Bare(Contender):
    """The floor, which answers anything."""

    name: str
    log: list[str] = field(factory=list)

    @contextmanager
    def serve(self, case: Case, folder: Path) -> Iterator[Served]:
        """Start it for a moment."""
        body = case.write_body(folder)
        server = Floor(self.name, folder / self.name)
        server.start()
        self.log.append(self.name)
        try:
            yield Served(Load(server.port, "/", body, 1, 1, 2), server.tree)
        finally:
            server.stop()


@define
class Unable(Contender):
    """A server that cannot serve the case."""

    name: str = "unable"

    @contextmanager
    def serve(self, case: Case, folder: Path) -> Iterator[Served]:
        """Refuse."""
        raise TargetFailed("no torch")
        yield


class ContestTests(TestCase):
    """A case on two servers and one that cannot."""

    @pytest.mark.slow
    def test_rounds_turn_the_order_and_who_cannot_is_named(self) -> None:
        said: list[str] = []
        log: list[str] = []
        contenders = (Bare("first", log), Unable(), Bare("second", log))
        plan = Plan(connections=(8, 2), seconds=1, warm_seconds=1, rounds=2, client="asyncio")
        with tempfile.TemporaryDirectory() as folder:
            rows = list(contest(NOOP, contenders, plan, Path(folder), said.append))
        self.assertEqual(log, ["first", "second", "second", "first"])
        found = [(row.target, row.connections) for row in rows]
        self.assertEqual(found[:4], [("first", 2), ("first", 8), ("second", 2), ("second", 8)])
        self.assertEqual([row.figures.errors for row in rows], [0] * 8)
        self.assertEqual([line for line in said if "skipped" in line], ["noop: skipped: no torch"] * 2)
