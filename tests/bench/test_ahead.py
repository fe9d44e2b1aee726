"""What the storm of short jobs counts as wrong, and which requests of bursts are slow."""

from __future__ import annotations

from unittest import TestCase

from twisted.internet.task import Clock

from bench.ahead import Storm
from bench.cases import CASES
from bench.load import Load, choose, command
from modelserver.core.version import new_version
from modelserver.testing.providers import Stage, make_spec


class StormTests(TestCase):
    """Each job has one run."""

    def setUp(self) -> None:
        version = new_version(make_spec(), Stage().providers)
        self.storm = Storm(version, Clock(), 4, left={1})

    def test_one_run_of_each_is_right_and_none_of_those_whose_clients_left(self) -> None:
        self.assertEqual(self.storm.misrun(b"\1\1\1\1"), {})
        self.assertEqual(self.storm.misrun(b"\1\0\1\1"), {})

    def test_two_runs_and_none_are_wrong(self) -> None:
        self.assertEqual(self.storm.misrun(b"\2\2\0\1"), {0: 2, 1: 2, 2: 0})


class BurstTests(TestCase):
    """The case is run by its own client."""

    def test_the_case_names_its_client_and_its_slow_requests(self) -> None:
        case = next(case for case in CASES if case.name == "mixed")
        load = Load(1, "/predictions/mixed", None, 64, 4, case.length, case.every, case.slow_every)
        line = command(load, choose(load, "auto"))
        self.assertIn("bench.bursts", line)
        self.assertEqual(line[line.index("--slow-every") + 1], "100")
