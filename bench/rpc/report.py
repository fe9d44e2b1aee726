"""The tables of the gRPC cases, and whether this server has reached what it is to reach."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attrs import frozen

from bench.rpc.cases import RpcCase
from bench.rpc.runner import REST, RpcRow
from bench.sheet import Sheet, milliseconds, ratio

OWN, TORCHSERVE, ECHO = "modelserver", "TorchServe", "grpc.aio"


@frozen
class Goal:
    """
    What this server is to reach at one point.

    :param other: the server that it is compared with.
    :param times: its rate over the other's, at least.
    :param cheaper: the other's CPU for a call over its own, at least; 0: not asked for.
    """

    case: str
    in_flight: int
    other: str
    times: float
    cheaper: float = 0.0


GOALS = (
    Goal("noop", 16, TORCHSERVE, 10.0, 12.0),
    Goal("noop", 64, TORCHSERVE, 10.0, 12.0),
    Goal("noop", 16, ECHO, 3.0),
    Goal("noop", 64, ECHO, 3.0),
    Goal("noop", 16, REST, 0.65),
    Goal("noop", 64, REST, 0.8),
    Goal("echo100k", 8, TORCHSERVE, 4.0),
    Goal("echo1m", 8, TORCHSERVE, 4.0),
    Goal("parts", 16, ECHO, 10.0),
)


def rpc_sheet(case: RpcCase, rows: Sequence[RpcRow]) -> Sheet:
    """
    The table of a case.

    The columns ``x TS`` and ``x grpc.aio`` are this row's rate over the other's at the same point; the last
    ``us/call`` is the client's CPU.
    """
    rates = {(row.target, row.in_flight): row.figures.rate for row in rows}
    lines = []
    for row in rows:
        figures = row.figures
        lines.append(
            (
                row.target,
                str(row.in_flight),
                f"{figures.rate:,.0f}",
                milliseconds(figures.p50),
                milliseconds(figures.p99),
                f"{figures.cpu * 1e6:,.0f}",
                *(
                    ratio(figures.rate, rates.get((other, row.in_flight), 0.0))
                    for other in (TORCHSERVE, ECHO)
                ),
                f"{figures.errors} {figures.first_error}".strip(),
                f"{figures.client_cpu:.2f} {figures.client}",
                f"{figures.client_cpu / figures.rate * 1e6:,.0f}" if figures.rate else "-",
                f"{figures.load:.2f}",
            )
        )
    columns = (
        *("server", "in flight", "calls/s", "p50 ms", "p99 ms", "CPU us/call", "x TS", "x grpc.aio"),
        *("errors", "client CPU", "us/call", "load"),
    )
    return Sheet(f"gRPC: {case.title}", columns, tuple(lines))


def goal_sheet(rows: Sequence[RpcRow]) -> Sheet:
    """What is to be reached, beside what was; points that were not measured are left out."""
    columns = ("gRPC of this server", "over", "at least", "was", "CPU: at least", "was", "reached")
    return Sheet("gRPC: goals", columns, tuple(_lines(rows)))


def _lines(rows: Sequence[RpcRow]) -> Iterator[tuple[str, ...]]:
    found = {(row.case, row.in_flight, row.target): row.figures for row in rows}
    for goal in GOALS:
        own = found.get((goal.case, goal.in_flight, OWN))
        other = found.get((goal.case, goal.in_flight, goal.other))
        if own is None or other is None or not other.rate or not own.cpu:
            continue
        times, cheaper = own.rate / other.rate, other.cpu / own.cpu
        is_reached = times >= goal.times and cheaper >= goal.cheaper and not own.errors
        yield (
            f"{goal.case}, {goal.in_flight} in flight",
            goal.other,
            f"{goal.times:g} x",
            f"{times:.2f} x",
            f"{goal.cheaper:g} x" if goal.cheaper else "-",
            f"{cheaper:.1f} x" if goal.cheaper else "-",
            "yes" if is_reached else "NO",
        )
