"""What the access log costs is told from pairs of measurements."""

from __future__ import annotations

import os
import subprocess
import sys
from unittest import TestCase

from bench.access_log import SWITCH, Root, Round, sheet
from bench.load import Figures


def figures(cpu: float, rate: float = 1000.0, errors: int = 0) -> Figures:
    """What a load found; ``cpu`` in microseconds."""
    return Figures(rate, 0.001, 0.002, cpu / 1e6, 0.5, 4000, errors, "", 0.5, "wrk")


class AccessLogTests(TestCase):
    """The table, and the switch."""

    def test_the_cost_is_the_median_of_the_pairs(self) -> None:
        rounds = [
            Round(figures(100), figures(104)),
            Round(figures(200, 500), figures(202, 490)),
            Round(figures(100), figures(150, errors=1)),
        ]
        *_, last = sheet(rounds).rows
        self.assertEqual(last, ("median", "100.0", "150.0", "+4.0 %", "1,000", "1,000", "1"))

    def test_the_switch_turns_it_off_and_on(self) -> None:
        code = SWITCH + (
            "import os\n"
            "def seen():\n"
            "    os.kill(os.getpid(), signal.SIGUSR2)\n"
            "    return AccessLog.record is note\n"
            "print([seen() for _ in range(3)])"
        )
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=True)
        self.assertEqual(ran.stdout, b"[False, True, False]\n")

    def test_workers_are_not_counted(self) -> None:
        self.assertEqual([each.pid for each in Root(os.getpid()).members()], [os.getpid()])
