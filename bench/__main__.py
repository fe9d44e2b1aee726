"""``python -m bench``: this server beside its peers, case by case, on this machine."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from pathlib import Path

from attrs import define, field
from rich.console import Console

from bench import lifecycle, workflows
from bench.cases import CASES, QUICK, Case, Point
from bench.report import as_json, life_sheet, sheet
from bench.rpc.load import CLIENTS
from bench.rpc.program import NAME as GRPC
from bench.rpc.program import measure_rpc
from bench.rpc.runner import RpcRow
from bench.runner import Plan, Row, Runner
from bench.selection import add_arguments, choose_targets, start_all
from bench.sheet import Sheet, describe_machine, write_json, write_markdown

LIFE, WORKFLOW = "life", "workflow"
"""What is measured beside the cases of one handler; and gRPC, on servers of its own."""


@define
class Found:
    """What a run has found, and its tables."""

    rows: list[Row] = field(factory=list)
    lives: list[lifecycle.Life] = field(factory=list)
    chains: list[workflows.ChainRow] = field(factory=list)
    calls: list[RpcRow] = field(factory=list)
    sheets: list[Sheet] = field(factory=list)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    names = ",".join([*(case.name for case in CASES), WORKFLOW, GRPC, LIFE])
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--cases", default="", help=f"comma-separated, of: {names} (default: all)")
    parser.add_argument("--connections", default="", help="only these numbers of connections")
    parser.add_argument("--workers", default="", help="only these numbers of workers")
    parser.add_argument("--seconds", type=int, default=4, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=1, help="measurements of each point; median kept")
    parser.add_argument("--warm-up", type=int, default=15, help="seconds of load before all, for each server")
    parser.add_argument("--quick", action="store_true", help="few points, two seconds each")
    parser.add_argument(
        "--grpc-client", choices=CLIENTS, default="auto", help="auto: h2load, and sockets for large bodies"
    )
    add_arguments(parser)
    return parser.parse_args(arguments)


def choose_points(case: Case, options: argparse.Namespace) -> tuple[Point, ...]:
    """The points of a case that were asked for; all of its own where none was."""
    points = QUICK[case.name] if options.quick else case.points
    workers = {int(word) for word in options.workers.split(",") if word}
    connections = {int(word) for word in options.connections.split(",") if word}
    return tuple(
        point
        for point in points
        if (not workers or point.workers in workers or not point.workers)
        and (not connections or point.connections in connections)
    )


def measure(options: argparse.Namespace, console: Console, folder: Path) -> None:
    """Start the servers, run what was asked for, print and write it."""
    wanted = [name for name in options.cases.split(",") if name]
    wanted = wanted or [*(case.name for case in CASES), WORKFLOW, GRPC, LIFE]
    plan = Plan(2 if options.quick else options.seconds, rounds=options.rounds, client=options.client)
    found = Found()

    def show(table: Sheet) -> None:
        found.sheets.append(table)
        table.show(console)

    if set(wanted) != {GRPC}:
        measure_http(options, plan, wanted, folder, found, show, console.print)
    if GRPC in wanted:
        found.calls, tables = measure_rpc(options, plan, folder, console.print)
        for table in tables:
            show(table)
    if options.json:
        write_json(options.json, as_json(found.rows, found.lives, found.chains, found.calls))
    if options.markdown:
        write_markdown(options.markdown, found.sheets)


def measure_http(
    options: argparse.Namespace,
    plan: Plan,
    wanted: Collection[str],
    folder: Path,
    found: Found,
    show: Callable[[Sheet], None],
    say: Callable[[str], None],
) -> None:
    """Run the cases over HTTP, and the servers' lives; tables are shown as they are ready."""
    cases = [case for case in CASES if case.name in wanted]
    with ExitStack() as stack:
        largest = max((case.body for case in cases), default=0)
        started = start_all(choose_targets(options, folder, say, largest), stack, say)
        targets = [target for target, _ in started]
        runner = Runner(targets, plan, folder, say)
        if LIFE in wanted:
            real = [(target, seconds) for target, seconds in started if target.is_server]
            found.lives += lifecycle.measure_all(real, say, lambda: os.getloadavg()[0])
            show(life_sheet(found.lives))
        if cases or WORKFLOW in wanted:
            runner.warm_up(min(5, options.warm_up) if options.quick else options.warm_up)
        for case in cases:
            points = choose_points(case, options)
            if points:
                rows = list(runner.run(case, points))
                found.rows += rows
                show(sheet(case, rows))
        if WORKFLOW in wanted:
            found.chains += workflows.measure_all(targets, plan, folder, say)
            show(workflows.chain_sheet(found.chains))


def main() -> None:
    """Run the comparison."""
    options = parse()
    console = Console(width=200)
    console.print(describe_machine())
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        measure(options, console, Path(folder))


if __name__ == "__main__":
    main()
