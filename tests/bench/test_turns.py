"""Ways of serving that are loaded in turn, and what is told of them."""

from __future__ import annotations

import socket
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from unittest import TestCase

import pytest

from bench.collector import absent_collector, collector, hanging_collector
from bench.dead_collector import MOST_GROWTH, Outcome
from bench.load import Figures, Load
from bench.servers import Floor
from bench.tracing_cost import ways_of
from bench.turns import Round, Way, rows, take_turns

pytestmark = pytest.mark.slow


def figures(requests: int, cpu: float, errors: int = 0) -> Figures:
    """What a burst of a second came to."""
    return Figures(requests, 0.001, 0.002, cpu, 0.5, requests, errors, "", 1.0, "wrk")


class RoundTests(TestCase):
    """Figures of a round."""

    def test_cpu_is_of_all_requests_of_a_way_and_rates_of_neighbours(self) -> None:
        found = Round(
            {
                "off": [figures(100, 40e-6), figures(300, 60e-6)],
                "on": [figures(90, 44e-6), figures(330, 66e-6)],
            }
        )
        self.assertAlmostEqual(found.cpu("off"), 55e-6)
        self.assertAlmostEqual(found.cpu_ratio("on"), (90 * 44 + 330 * 66) / 420 / 55)
        self.assertAlmostEqual(found.rate_ratio("on"), 1.0)
        self.assertEqual(found.rate("off"), 200)

    def test_a_row_has_each_round_and_the_median(self) -> None:
        rounds = [
            Round({"off": [figures(100, 40e-6)], "on": [figures(100, cpu, errors=1)]})
            for cpu in (40e-6, 42e-6, 80e-6)
        ]
        _, row = rows(rounds)
        self.assertEqual(row, ("on", "42.0", "1.000 1.050 2.000", "1.050", "100", "1.000", "3"))

    def test_nothing_answered_is_no_division_by_nothing(self) -> None:
        found = Round({"off": [figures(0, 0.0)], "on": [figures(0, 0.0)]})
        self.assertEqual((found.cpu_ratio("on"), found.rate_ratio("on")), (0.0, 0.0))


class TurnTests(TestCase):
    """Real loads, on a server that serves nothing."""

    def test_all_ways_take_turns_and_each_is_entered_for_its_bursts(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        body = Path(temporary.name) / "body"
        body.write_bytes(b"x")
        server = Floor("floor", Path(temporary.name) / "floor")
        server.start()
        self.addCleanup(server.stop)
        entered: list[str] = []

        @contextmanager
        def note(name: str) -> Iterator[None]:
            entered.append(name)
            yield

        load = Load(server.port, "/predictions/noop", body, 4, 1)
        ways = [Way(name, load, server.tree, partial(note, name)) for name in ("one", "two")]
        found = take_turns(ways, 2, 0, "asyncio")
        self.assertEqual(entered, ["two", "one", "one", "two"])
        self.assertEqual([len(found.bursts[name]) for name in ("one", "two")], [2, 2])
        self.assertGreater(min(each.requests for each in found.bursts["two"]), 0)

    def test_what_is_compared_differs_in_its_sampler(self) -> None:
        self.assertEqual(list(ways_of(0.01)), ["off", "on, none sampled", "on, 1% sampled"])


class CollectorTests(TestCase):
    """Collectors that take, hang, and are not there."""

    def test_one_takes(self) -> None:
        with collector() as url, urllib.request.urlopen(f"{url}/v1/traces", b"spans", timeout=30) as answer:
            self.assertEqual(answer.status, 200)

    def test_one_hangs(self) -> None:
        with hanging_collector() as url:
            port = int(url.rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(b"x")
                client.setblocking(False)
                self.assertRaises(BlockingIOError, client.recv, 1)

    def test_one_is_not_there(self) -> None:
        with absent_collector() as url, self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])))


class OutcomeTests(TestCase):
    """What is asked of a server whose collector is dead."""

    def outcome(self, errors: int = 0, last: int = 1, end: float = 1.6, sent: int = 0) -> Outcome:
        spans = {"sent": sent, "dropped": 9, "failed": 3}
        return Outcome(1000, errors, (1, last), end, spans)

    def test_each_of_it_must_hold(self) -> None:
        self.assertTrue(self.outcome().is_right)
        self.assertFalse(self.outcome(errors=1).is_right)
        self.assertFalse(self.outcome(last=MOST_GROWTH + 2).is_right)
        self.assertFalse(self.outcome(end=2.1).is_right)
        self.assertFalse(self.outcome(sent=1).is_right)
