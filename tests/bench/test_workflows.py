"""Workflows of the bench: archives that a server can read, and what is made of the figures."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from unittest import TestCase

from attrs import evolve

from bench.archives import pack_workflow
from bench.load import Figures
from bench.workflow_soak import ServerMemory
from bench.workflows import NODES, ChainRow, FastRun, chain_sheet, middle_cost
from modelserver.archive.unpack import unpack
from modelserver.archive.workflow import read_workflow

FIGURES = Figures(800.0, 0.08, 0.09, 0.0001, 0.1, 3200, 0, "", 1.0, "wrk")
ROW = ChainRow("modelserver", FIGURES, evolve(FIGURES, rate=780.0, cpu=0.0002), FastRun(20000, 0, 0, 3000.0))
PEER = ChainRow("TorchServe", FIGURES, evolve(FIGURES, rate=260.0), FastRun(18000, 500, 3, 200.0))


class ArchiveTests(TestCase):
    """What is registered."""

    def test_chain_is_read_by_the_server(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            settings = {"batch-size": 8, "max-batch-delay": 10}
            archives = dict.fromkeys(NODES, "wait.mar")
            packed = pack_workflow("chain", archives, settings, Path(folder))
            unpack(packed, Path(folder) / "unpacked")
            content = read_workflow(Path(folder) / "unpacked")
        self.assertEqual((NODES, ()), (content.spec.graph.order, content.problems))
        self.assertEqual(
            {("wait.mar", 8)}, {(node.url, node.settings.batch_size) for node in content.spec.nodes.values()}
        )


class FigureTests(TestCase):
    """What is told."""

    def test_share_and_cost_are_beside_the_node_alone(self) -> None:
        self.assertAlmostEqual(0.975, ROW.share)
        self.assertAlmostEqual(2 / 3, ROW.cost)

    def test_late_answers_and_errors_were_lost(self) -> None:
        self.assertEqual((0, 503), (ROW.fast.lost, PEER.fast.lost))

    def test_table_compares_with_the_peer(self) -> None:
        own, peer = chain_sheet([ROW, PEER]).rows
        self.assertEqual(("97.5 %", "0.67", "3.00"), (own[3], own[6], own[7]))
        self.assertEqual(("15.00", "0 of 20000"), own[9:11])
        self.assertEqual("503 of 18003", peer[10])
        (alone,) = chain_sheet([ROW]).rows
        self.assertEqual("-", alone[7])

    def test_middle_is_by_rate(self) -> None:
        three = [evolve(FIGURES, rate=rate) for rate in (3.0, 1.0, 2.0)]
        self.assertEqual(2.0, middle_cost(three).rate)

    def test_memory_of_a_process_that_shares_none(self) -> None:
        self.assertGreater(ServerMemory.of(os.getpid()).own, 0)
