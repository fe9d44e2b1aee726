"""
``python -m bench --cases workflow``: chains of three nodes, beside their nodes alone and beside TorchServe.

What a chain of 10 ms nodes reaches of its slowest node alone, and costs of three direct predictions; and how
many answers of a fast chain are lost.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from attrs import frozen

from bench.load import Figures, Load, put
from bench.runner import Plan
from bench.sheet import Sheet, milliseconds, ratio
from bench.target import Deployment, Target, TargetFailed

NODES = ("a", "b", "c")
CHAIN, ALONE, FAST = "chain", "alone", "fast"
CONNECTIONS = 64
BATCH = 8
ASKED = 20_000
"""Requests to the fast chain."""
LONGEST_ASKING = 90.0
"""Seconds after which a server that loses answers is asked no more."""


@frozen
class FastRun:
    """
    What became of the requests to the fast chain.

    :param right: how many were answered.
    :param late: how many of them took so long that their first answer must have been lost.
    :param errors: how many had no right answer.
    """

    right: int
    late: int
    errors: int
    rate: float

    @property
    def lost(self) -> int:
        """How many answers were lost."""
        return self.late + self.errors


@frozen
class ChainRow:
    """
    One server's chains.

    :param alone: one node, asked directly.
    :param chain: three of them.
    """

    target: str
    alone: Figures
    chain: Figures
    fast: FastRun

    @property
    def share(self) -> float:
        """What the chain reaches of its slowest node alone."""
        return self.chain.rate / self.alone.rate if self.alone.rate else 0.0

    @property
    def cost(self) -> float:
        """CPU of a request to the chain over that of three direct predictions."""
        return self.chain.cpu / (3 * self.alone.cpu) if self.alone.cpu else 0.0


def waiting(name: str, batch_size: int = BATCH) -> Deployment:
    """A node, or a chain of such nodes, that takes 10 ms for a batch."""
    return Deployment(name, "wait", 1, batch_size, 0.01)


def measure(target: Target, plan: Plan, folder: Path) -> ChainRow:
    """
    Measure the chains of one server.

    :raises TargetFailed: it does not register them.
    """
    body = folder / "workflow-body"
    body.write_bytes(bytes(range(100)))
    target.register(waiting(ALONE))
    target.register_workflow(waiting(CHAIN), NODES)
    target.register_workflow(Deployment(FAST, "noop", max_batch_delay=0.0), NODES)
    try:
        paths = {ALONE: f"/predictions/{ALONE}", CHAIN: f"/wfpredict/{CHAIN}"}
        found: dict[str, list[Figures]] = {name: [] for name in paths}
        for seconds, keeps in [(plan.warm_seconds, False), *[(plan.seconds, True)] * plan.rounds]:
            for name, path in paths.items():
                load = Load(target.port, path, body, CONNECTIONS, seconds, 2)
                figures = put(load, target.tree, plan.client)
                if keeps:
                    found[name].append(figures)
        fast = ask_fast(target, body)
    finally:
        target.unregister_workflow(CHAIN)
        target.unregister_workflow(FAST)
        target.unregister(ALONE)
    return ChainRow(target.name, middle_cost(found[ALONE]), middle_cost(found[CHAIN]), fast)


def middle_cost(figures: Sequence[Figures]) -> Figures:
    """The measurement with the median rate (the lower one of two)."""
    rate = statistics.median_low(one.rate for one in figures)
    return next(one for one in figures if one.rate == rate)


def ask_fast(target: Target, body: Path) -> FastRun:
    """Ask the fast chain ``ASKED`` times, or as often as it goes, and count what is lost."""
    line = [sys.executable, "-m", "bench.client", "--port", str(target.port), "--body", str(body)]
    line += ["--path", f"/wfpredict/{FAST}", "--length", "2", "--connections", str(CONNECTIONS)]
    line += ["--count", str(ASKED), "--seconds", str(LONGEST_ASKING)]
    ran = subprocess.run(
        line, capture_output=True, timeout=LONGEST_ASKING + 60, cwd=Path(__file__).parents[1], check=True
    )
    told = json.loads(ran.stdout.decode().splitlines()[-1])
    right, errors = told["requests"], sum(told["errors"].values())
    return FastRun(right, told["late"], errors, right / told["seconds"])


def measure_all(
    targets: Sequence[Target], plan: Plan, folder: Path, say: Callable[[str], None]
) -> list[ChainRow]:
    """Measure those servers that know workflows; one that fails is named and left out."""
    rows = []
    for target in targets:
        if not target.is_server or target.shape != "torchserve":
            continue
        say(f"workflows: {target.name}")
        try:
            rows.append(measure(target, plan, folder))
        except TargetFailed as error:
            say(f"skipped: {error}")
    return rows


def chain_sheet(rows: Sequence[ChainRow]) -> Sheet:
    """The table of the chains."""
    peer = next((row for row in rows if row.target == "TorchServe"), None)
    lines = tuple(
        (
            row.target,
            f"{row.alone.rate:,.0f}",
            f"{row.chain.rate:,.0f}",
            f"{100 * row.share:.1f} %",
            milliseconds(row.chain.p99),
            f"{row.chain.cpu * 1e6:,.0f}",
            f"{row.cost:.2f}",
            ratio(row.chain.rate, peer.chain.rate) if peer else "-",
            f"{row.fast.rate:,.0f}",
            ratio(row.fast.rate, peer.fast.rate) if peer else "-",
            f"{row.fast.lost} of {row.fast.right + row.fast.errors}",
            f"{row.alone.errors + row.chain.errors}",
            f"{row.chain.load:.2f}",
        )
        for row in rows
    )
    columns = (
        *("server", "node req/s", "chain req/s", "of the node", "chain p99 ms", "CPU us/req", "x 3 direct"),
        *("x TS", "fast req/s", "x TS fast", "lost", "errors", "load"),
    )
    return Sheet("Chains of three: 10 ms nodes, batch 8, 64 connections; and fast ones", columns, lines)
