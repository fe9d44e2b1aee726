"""Ways of serving that are loaded in turn, and what is told of them."""

from __future__ import annotations

import shutil
import socket
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from unittest import TestCase, skipIf

import pytest

from bench.collector import absent_collector, collector, hanging_collector
from bench.dead_collector import MOST_GROWTH, Outcome
from bench.intervals import estimate, trimmed_mean
from bench.load import Load
from bench.resting_client import FIRST_TURN, RestingClient
from bench.servers import Floor
from bench.tracing_cost import ways_of
from bench.turns import FOREIGN, Account, Comparison, Cycle, Turns, Way, rows, sheets, sheets_of_starts

pytestmark = pytest.mark.slow


def cycle(foreign: float = 0.0, **ways: tuple[float, int, float]) -> Cycle:
    """Two turns of ways, each with its CPU seconds, bytes and seconds of load."""
    return Cycle({name: Account(*each) for name, each in ways.items()}, foreign)


def comparison(*cycles: Cycle) -> Comparison:
    """Cycles of two ways, whose answers have 200 bytes."""
    return Comparison(cycles, "off", {"off": 200.0, "on": 200.0}, {"off": 0, "on": 1})


class ComparisonTests(TestCase):
    """Figures of cycles."""

    def test_a_cycle_is_compared_with_itself(self) -> None:
        found = comparison(
            cycle(off=(1.0, 4000, 0.5), on=(1.1, 4000, 0.5)),
            cycle(off=(3.0, 4000, 0.5), on=(3.3, 2000, 0.5)),
            cycle(off=(9.0, 4000, 0.5), on=(9.0, 4000, 0.5)),
        )
        cpu, rate = found.cpu_ratio("on"), found.rate_ratio("on")
        self.assertAlmostEqual(1.1, cpu.middle)
        self.assertEqual((1.0, 2.2), (round(cpu.low, 3), round(cpu.high, 3)))
        self.assertAlmostEqual(1.0, rate.middle)
        self.assertAlmostEqual(3.0 / 20, found.cpu("off"))
        self.assertAlmostEqual(40.0, found.rate("off"))

    def test_cycles_in_which_others_worked_do_not_count(self) -> None:
        quiet, busy = (cycle(share, off=(1.0, 9, 1.0), on=(1.0, 9, 1.0)) for share in (0.0, FOREIGN + 0.01))
        self.assertEqual([quiet], list(comparison(quiet, busy).quiet))
        self.assertEqual(0, comparison(busy).cpu_ratio("on").count)

    def test_a_row_has_bounds_and_the_first_way_none(self) -> None:
        each = cycle(off=(1.0, 4000, 0.5), on=(1.02, 4000, 0.5))
        first, row = rows(comparison(each, each))
        self.assertEqual(("off", "50000.0", "", "40", "", "0"), first)
        self.assertEqual(("on", "51000.0", "+2.0 (+2.0 to +2.0)", "40", "+0.0 (+0.0 to +0.0)", "1"), row)

    def test_all_rounds_are_one_comparison(self) -> None:
        one = comparison(cycle(off=(1.0, 4000, 0.5), on=(1.0, 4000, 0.5)))
        tables = sheets("Cost", [one, one])
        self.assertEqual(3, len(tables))
        self.assertEqual("Cost, all rounds (2 of 2 cycles, others used 0%)", tables[-1].title)
        self.assertEqual("2", tables[-1].rows[1][-1])

    def test_each_start_is_one_value_in_which_what_is_seldom_has_its_share(self) -> None:
        usual, seldom = (
            cycle(off=(1.0, 4000, 0.5), on=(1.0, 4000, 0.5)),
            cycle(off=(1.0, 4000, 0.5), on=(1.4, 4000, 0.5)),
        )
        start, other = comparison(usual, usual, usual, seldom), comparison(usual, usual, seldom, seldom)
        self.assertAlmostEqual(1.0, start.cpu_ratio("on").middle)
        self.assertAlmostEqual(1.1, start.whole("on"))
        foreign = cycle(FOREIGN + 0.01, off=(1.0, 4000, 0.5), on=(9.0, 4000, 0.5))
        loud = [comparison(foreign), comparison(usual, seldom, foreign, foreign)]
        (table,) = sheets_of_starts("Cost", [start, other, start, *loud])
        self.assertEqual("Cost (3 of 5 starts, others used 0%)", table.title)
        first, row = table.rows
        self.assertEqual(("off", "50000.0", "", "", "40", "0"), first)
        self.assertEqual(("+13.3 (+10.0 to +20.0)", "+10.0 +10.0 +20.0", "3"), (*row[2:4], row[-1]))
        self.assertEqual((), sheets_of_starts("Cost", [comparison(cycle(FOREIGN + 0.01))])[0].rows)

    def test_a_start_is_compared_with_both_of_two_that_are_equal(self) -> None:
        each = cycle(off=(1.0, 4000, 0.5), on=(1.1, 4000, 0.5), control=(1.2, 4000, 0.5))
        names = dict.fromkeys(each.ways, 200.0)
        found = Comparison([each], "off", names, dict.fromkeys(names, 0), control="control")
        self.assertAlmostEqual(1.0, found.whole("on"))
        self.assertAlmostEqual(1.2, found.whole("control"))


class EstimateTests(TestCase):
    """A median, and its bounds."""

    def test_bounds_are_wider_where_values_scatter_and_narrower_where_there_are_many(self) -> None:
        narrow, wide = estimate([1.0, 1.01, 1.02] * 5), estimate([0.9, 1.01, 1.12] * 5)
        many = estimate([0.9, 0.97, 1.01, 1.05, 1.12] * 60)
        self.assertEqual((1.01, 1.01), (narrow.middle, wide.middle))
        self.assertLess(narrow.high - narrow.low, wide.high - wide.low)
        self.assertLess(many.high - many.low, wide.high - wide.low)
        self.assertLessEqual(many.low, many.middle)

    def test_a_trimmed_mean_leaves_out_what_is_far_off_at_both_ends(self) -> None:
        self.assertEqual(2.0, trimmed_mean([1.0, 2.0, 3.0]))
        self.assertEqual(2.0, trimmed_mean([-90.0, *[1.0, 2.0, 3.0] * 3, 900.0]))

    def test_nothing_is_no_estimate(self) -> None:
        self.assertEqual(0, estimate([]).count)


@skipIf(shutil.which("wrk") is None, "wrk is not installed")
class TurnTests(TestCase):
    """Real loads, on a server that serves nothing."""

    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.body = Path(temporary.name) / "body"
        self.body.write_bytes(b"x")
        self.server = Floor("floor", Path(temporary.name) / "floor")
        self.server.start()
        self.addCleanup(self.server.stop)

    def client(self, recorded: float | None = None) -> RestingClient:
        load = Load(self.server.port, "/predictions/noop", self.body, 4, 1, recorded=recorded)
        return RestingClient(load)

    def test_all_ways_take_turns_and_each_is_entered_for_its_own(self) -> None:
        entered: list[str] = []

        @contextmanager
        def note(name: str) -> Iterator[None]:
            entered.append(name)
            yield

        client, tree = self.client(), self.server.tree
        ways = [Way(name, client, tree, partial(note, name)) for name in ("one", "two")]
        found = Turns(ways, 0.2, counts_rest=False).take(2)
        self.assertEqual(["one", "two", "two", "one"] * 2, entered)
        entered.clear()
        Turns(ways, 0.02, rotates=True).take(2)
        self.assertEqual(["one", "two", "two", "one", "two", "one", "one", "two"], entered)
        self.assertEqual({"one": 0, "two": 0}, found.errors)
        for each in found.cycles:
            self.assertGreater(each.ways["two"].read, 0)
            self.assertGreater(each.ways["two"].cpu, 0)
            self.assertGreaterEqual(each.ways["two"].seconds, 0.4)

    def test_a_client_asks_nothing_while_it_rests(self) -> None:
        client = self.client(recorded=0.5)
        self.addCleanup(client.kill)
        client.start()
        client.work(FIRST_TURN)
        read = client.bytes_read()
        self.assertGreater(read, 0)
        self.assertEqual(read, client.bytes_read())
        bytes_each, errors = client.finish()
        self.assertGreater(bytes_each, 20)
        self.assertEqual(0, errors)

    def test_what_is_compared_differs_in_its_sampler(self) -> None:
        names = ["off", "on, none sampled", "on, 1% sampled", "off, the control"]
        ways = ways_of(0.01)
        self.assertEqual(names, list(ways))
        self.assertEqual(ways["off"], ways["off, the control"])


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
