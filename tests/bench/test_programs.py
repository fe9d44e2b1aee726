"""The programs of the bench: options, process trees, and one real run against the floor."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from unittest import TestCase

from bench.__main__ import choose_points, parse
from bench.cases import CASES, Point
from bench.limits import round_trip
from bench.processes import Tree, end
from bench.runner import Plan, Runner
from bench.selection import choose_targets, start_all
from bench.servers import Floor
from bench.target import Target, TargetFailed, call, free_ports

NOOP = next(case for case in CASES if case.name == "noop")


class Broken(Floor):
    """A server that ends at once."""

    def command(self) -> list[str]:
        return [sys.executable, "-c", "print('no licence')"]


class OptionTests(TestCase):
    """What the command line chooses."""

    def test_all_points_without_options(self) -> None:
        self.assertEqual(choose_points(NOOP, parse([])), NOOP.points)

    def test_only_the_named_points(self) -> None:
        options = parse(["--connections", "64", "--workers", "2"])
        self.assertEqual(choose_points(NOOP, options), (Point(2, 64),))

    def test_absent_peers_are_named_and_left_out(self) -> None:
        said: list[str] = []
        options = parse(["--torchserve", "/nowhere", "--servers", "modelserver,torchserve"])
        targets = choose_targets(options, Path("/nowhere"), said.append)
        self.assertEqual([target.name for target in targets], ["modelserver"])
        self.assertEqual(len(said), 1)
        self.assertIn("TorchServe", said[0])


class ProcessTests(TestCase):
    """A child and what it started."""

    def test_a_tree_has_its_descendants_and_ends_whole(self) -> None:
        waits = "print('here', flush=True); input()"
        nested = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {waits!r}])"
        child = subprocess.Popen(
            [sys.executable, "-c", nested], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        tree = Tree(child.pid)
        self.addCleanup(child.wait)
        assert child.stdin is not None
        assert child.stdout is not None
        self.addCleanup(child.stdin.close)
        self.addCleanup(child.stdout.close)
        self.assertEqual(child.stdout.readline(), b"here\n")
        self.assertEqual(len(tree.members()), 2)
        self.assertGreaterEqual(tree.memory().rss, tree.memory().pss)
        end(child, 5.0)
        self.assertEqual(tree.members(), [])
        self.assertEqual(tree.cpu_seconds(), 0.0)

    def test_free_ports_differ(self) -> None:
        self.assertEqual(len(set(free_ports(5))), 5)

    def test_nobody_there_is_code_zero(self) -> None:
        self.assertEqual(call(free_ports(1)[0], "GET", "/ping", 1.0)[0], 0)


class FloorTests(TestCase):
    """The floor server is measured like any other."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_a_case_gives_a_row_for_each_point(self) -> None:
        said: list[str] = []
        with ExitStack() as stack:
            target: Target = Floor("floor", self.folder / "floor")
            start_all([target], stack, said.append)
            plan = Plan(seconds=1, warm_seconds=1, client="sockets")
            rows = list(
                Runner([target], plan, self.folder, said.append).run(NOOP, (Point(1, 1), Point(1, 8)))
            )
        self.assertEqual([row.connections for row in rows], [1, 8])
        for row in rows:
            self.assertEqual((row.figures.errors, row.figures.first_error), (0, ""))
            self.assertGreater(row.figures.requests, 0)

    def test_a_server_that_ends_at_once_is_left_out_with_its_last_words(self) -> None:
        said: list[str] = []
        with ExitStack() as stack:
            self.assertEqual(start_all([Broken("broken", self.folder / "b")], stack, said.append), [])
        self.assertIn("no licence", said[0])

    def test_a_server_that_does_not_run_has_no_tree(self) -> None:
        with self.assertRaises(TargetFailed):
            _ = Floor("floor", self.folder).tree

    def test_a_round_trip_takes_time(self) -> None:
        trip = round_trip(1000, 0.05)
        self.assertEqual(trip.size, 1000)
        self.assertGreater(trip.seconds, 0.0)
