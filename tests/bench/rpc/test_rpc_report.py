"""The tables of the gRPC cases."""

from __future__ import annotations

from unittest import TestCase

from bench.load import Figures
from bench.rpc.cases import RPC_CASES
from bench.rpc.report import ECHO, OWN, TORCHSERVE, goal_sheet, rpc_sheet
from bench.rpc.runner import REST, RpcRow


def row(target: str, rate: float, cpu: float, errors: int = 0) -> RpcRow:
    """A measurement at 16 calls in flight."""
    return RpcRow("noop", target, 16, Figures(rate, 0.001, 0.002, cpu, 0.5, 10, errors, "", 0.5, "h2load"))


class SheetTests(TestCase):
    """What is shown of what was measured."""

    def test_rates_beside_the_others(self) -> None:
        rows = [row(OWN, 12_000, 80e-6), row(TORCHSERVE, 1_000, 1e-3), row(ECHO, 4_000, 240e-6)]
        own = rpc_sheet(RPC_CASES[0], rows).rows[0]
        self.assertEqual(own[:8], (OWN, "16", "12,000", "1.00", "2.00", "80", "12.00", "3.00"))

    def test_goals(self) -> None:
        rows = [
            row(OWN, 12_000, 80e-6),
            row(TORCHSERVE, 1_000, 1e-3),
            row(ECHO, 4_001, 240e-6),
            row(REST, 18_000, 60e-6),
        ]
        reached = {line[1]: line[-1] for line in goal_sheet(rows).rows}
        self.assertEqual(reached, {TORCHSERVE: "yes", ECHO: "NO", REST: "yes"})

    def test_a_goal_of_cpu(self) -> None:
        rows = [row(OWN, 12_000, 100e-6), row(TORCHSERVE, 1_000, 1e-3)]
        self.assertEqual([line[-1] for line in goal_sheet(rows).rows], ["NO"])

    def test_errors_reach_nothing(self) -> None:
        rows = [row(OWN, 12_000, 80e-6, errors=1), row(TORCHSERVE, 1_000, 1e-3)]
        self.assertEqual([line[-1] for line in goal_sheet(rows).rows], ["NO"])
