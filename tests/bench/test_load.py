"""A load is put by the client that fits it, and its figures are read right."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from unittest import TestCase, skipIf

from bench.load import Load, Spent, choose, command, read


class LoadTests(TestCase):
    """Choosing a client, running it, reading it."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.body = Path(folder.name) / "body"
        self.body.write_bytes(bytes(100))

    def load(self, connections: int = 64, length: int | None = 2) -> Load:
        return Load(1234, "/predictions/noop", self.body, connections, 3, length)

    def test_one_connection_is_timed_by_the_own_client(self) -> None:
        self.assertEqual(choose(self.load(connections=1), "auto"), "sockets")

    def test_large_bodies_go_through_the_own_client(self) -> None:
        self.body.write_bytes(bytes(100_000))
        self.assertEqual(choose(self.load(), "auto"), "sockets")

    @skipIf(shutil.which("wrk") is None, "wrk is not installed")
    def test_small_bodies_go_through_wrk(self) -> None:
        self.assertEqual(choose(self.load(), "auto"), "wrk")

    def test_a_named_client_is_taken(self) -> None:
        self.assertEqual(choose(self.load(), "sockets"), "sockets")

    def test_a_load_without_a_body_is_a_get(self) -> None:
        self.assertIn("GET", command(Load(1, "/ping", None, 8, 1), "wrk"))

    def test_the_own_client_is_told_what_to_expect(self) -> None:
        line = command(self.load(), "sockets")
        self.assertEqual(line[line.index("--length") + 1], "2")
        self.assertEqual(line[line.index("--body") + 1], str(self.body))

    def test_refusals_that_wrk_counts_as_requests_are_not_right_answers(self) -> None:
        told = {**WRK, "errors": {"status": 200, "timeout": 0}}
        figures = read(told, self.load(), "wrk", Spent(2.0, 1.0, 0.5))
        self.assertEqual((figures.rate, figures.errors, figures.first_error), (400.0, 200, "status"))

    def test_cpu_is_for_each_request_and_the_clients_for_each_second(self) -> None:
        figures = read(WRK, self.load(), "wrk", Spent(2.0, 1.0, 0.5))
        self.assertEqual((figures.cpu, figures.client_cpu, figures.load), (0.002, 0.5, 0.5))

    def test_answers_too_short_for_their_bodies_are_errors(self) -> None:
        figures = read(WRK, self.load(length=1000), "wrk", Spent(2.0, 1.0, 0.5))
        self.assertEqual((figures.errors, figures.first_error), (1000, "length"))

    def test_no_requests_at_all_are_no_division_by_zero(self) -> None:
        told = {"requests": 0, "seconds": 0.0, "p50": 0, "p99": 0, "errors": {"connect: refused": 1}}
        self.assertEqual(read(told, self.load(), "sockets", Spent(0.0, 0.0, 0.0)).rate, 0.0)


WRK: dict[str, object] = {
    "requests": 1000,
    "seconds": 2.0,
    "p50": 0.001,
    "p99": 0.002,
    "bytes": 100_000,
    "errors": {"connect": 0, "status": 0},
}
