"""The part of ``python -m bench`` that is about gRPC: its servers, its cases, its tables."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

from attrs import evolve

from bench.rpc.cases import RPC_CASES
from bench.rpc.load import PROGRAM, is_there
from bench.rpc.report import ECHO, goal_sheet, rpc_sheet
from bench.rpc.runner import RpcRow, RpcRunner
from bench.rpc.servers import GrpcEcho, has_grpcio
from bench.runner import Plan
from bench.selection import choose_targets, start_all
from bench.servers import ModelServer, MultiModelServer
from bench.sheet import Sheet
from bench.target import Target

NAME = "grpc"
"""The word for ``--cases``."""


def measure_rpc(
    options: argparse.Namespace, plan: Plan, folder: Path, say: Callable[[str], None]
) -> tuple[list[RpcRow], list[Sheet]]:
    """Start the servers that have gRPC, and run every case on them; a missing program is named."""
    missing = [*([] if is_there() else [f"{PROGRAM} (apt install nghttp2-client)"])]
    missing += [f"the package {name}" for name in ("ngh2", "google.protobuf") if _is_absent(name)]
    if missing:
        say(f"gRPC is left out: there is no {' and no '.join(missing)}")
        return [], []
    wanted = {int(word) for word in options.connections.split(",") if word}
    with ExitStack() as stack:
        started = start_all(_targets(options, folder, say), stack, say)
        runner = RpcRunner([target for target, _ in started], plan, folder, say, options.grpc_client)
        runner.warm_up(RPC_CASES[0], min(5, options.warm_up) if options.quick else options.warm_up)
        rows: list[RpcRow] = []
        sheets = []
        for case in RPC_CASES:
            points = tuple(point for point in case.in_flight if not wanted or point in wanted)
            if points:
                found = list(runner.run(evolve(case, in_flight=points)))
                rows += found
                sheets.append(rpc_sheet(case, found))
    return rows, [*sheets, goal_sheet(rows)]


def _targets(options: argparse.Namespace, folder: Path, say: Callable[[str], None]) -> list[Target]:
    targets = []
    for target in choose_targets(options, folder / NAME, say):
        if isinstance(target, ModelServer):
            target.has_rpc = True
        if target.is_server and not isinstance(target, MultiModelServer):
            targets.append(target)
    if has_grpcio():
        targets.append(GrpcEcho(ECHO, folder / "grpc-echo"))
    else:
        say(f"{ECHO}: no package grpcio: skipped, and answers are not compared")
    return targets


def _is_absent(name: str) -> bool:
    try:
        return find_spec(name) is None
    except ModuleNotFoundError:
        return True
