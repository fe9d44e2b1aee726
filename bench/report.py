"""What a run of the comparison found: a table for each case, one for the servers' lives, and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from bench.cases import Case
from bench.lifecycle import Life
from bench.rpc.runner import RpcRow
from bench.runner import LOOP, Row
from bench.sheet import Sheet, machine, megabytes, milliseconds, ratio
from bench.workflows import ChainRow

PEERS = ("TorchServe", "MMS")
FLOOR = "floor"


def sheet(case: Case, rows: Sequence[Row]) -> Sheet:
    """
    The table of a case.

    The columns ``x TS`` and ``x MMS`` are this row's requests per second over the peer's at the same point.
    ``of limit`` is over what nothing could exceed here: the handler's own time where it takes some (as it was
    written, or as the bare loop beside shows), else the floor server at the same point.
    """
    rates = {(row.target, row.workers, row.connections): row.figures.rate for row in rows}
    lines = []
    for row in rows:
        figures, point = row.figures, (row.workers, row.connections)
        limit = limit_of(case, row, rates)
        against = [rates.get((peer, *point), 0.0) for peer in PEERS]
        lines.append(
            (
                row.target,
                str(row.workers),
                str(row.connections),
                f"{figures.rate:,.0f}",
                milliseconds(figures.p50),
                milliseconds(figures.p99),
                f"{figures.cpu * 1e6:,.0f}",
                *(ratio(figures.rate, other) for other in against),
                f"{100 * figures.rate / limit:.1f} %" if limit and row.target not in (FLOOR, LOOP) else "-",
                f"{figures.errors} {figures.first_error}".strip(),
                f"{figures.client_cpu:.2f} {figures.client}",
                f"{figures.load:.2f}",
            )
        )
    columns = (
        *("server", "workers", "conn.", "req/s", "p50 ms", "p99 ms", "CPU us/req"),
        *("x TS", "x MMS", "of limit", "errors", "client CPU", "load"),
    )
    return Sheet(case.title, columns, tuple(lines))


def limit_of(case: Case, row: Row, rates: Mapping[tuple[str, int, int], float]) -> float:
    """Requests per second that nothing could exceed at a row's point; 0 where that was not measured."""
    if case.batch_seconds:
        return case.ideal(row.workers)
    if case.computes:
        return rates.get((LOOP, 1, row.connections), 0.0) * row.workers
    return rates.get((FLOOR, row.workers, row.connections), 0.0)


def life_sheet(lives: Sequence[Life]) -> Sheet:
    """The table of start, register, scale, recovery and memory."""
    lines = tuple(
        (
            life.target,
            f"{life.start:.2f}",
            milliseconds(life.register),
            milliseconds(life.scale),
            milliseconds(life.recovery),
            str(life.first_code),
            f"{megabytes(life.memory_with_one.pss)} / {megabytes(life.memory_with_one.rss)}",
            f"{megabytes(life.memory_with_four.pss)} / {megabytes(life.memory_with_four.rss)}",
            f"{life.load:.2f}",
        )
        for life in lives
    )
    columns = (
        *("server", "start s", "register ms", "scale 1 to 4 ms", "kill -9 to answer ms", "first code"),
        *("1 worker PSS / RSS MB", "4 workers PSS / RSS MB", "load"),
    )
    return Sheet("Life of a noop model", columns, lines)


def as_json(
    rows: Sequence[Row],
    lives: Sequence[Life],
    chains: Sequence[ChainRow] = (),
    calls: Sequence[RpcRow] = (),
) -> dict[str, object]:
    """Everything, for a file."""
    return {
        "machine": machine(),
        "rows": [attrs.asdict(row) for row in rows],
        "calls": [attrs.asdict(row) for row in calls],
        "lives": [attrs.asdict(life) for life in lives],
        "chains": [attrs.asdict(chain) for chain in chains],
    }
