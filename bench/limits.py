"""
The floor on this machine: what no server can go below.

The handler called in a loop in one process; a bare socketpair round trip between two processes; and, as a
server in the comparison (``floor``), an asyncio protocol that answers a constant without HTTP.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import frozen
from rich.console import Console

from bench.cases import CASES, Case
from bench.sheet import Sheet, describe_machine

CHECKOUT = Path(__file__).resolve().parents[1]


@frozen
class RoundTrip:
    """A message of ``size`` bytes there and back: seconds, and CPU seconds of both ends together."""

    size: int
    seconds: float
    cpu: float


def loop(handler: str, body: bytes, batch_size: int, seconds: float) -> float:
    """Requests per second of a handler called in a loop in this process, full batches, no server at all."""
    handle = importlib.import_module(f"bench.handlers.{handler}").handle
    handle(None, None)
    rows = [{"body": body}] * batch_size
    handle(rows, None)
    clock, calls = time.perf_counter, 0
    begun = clock()
    end = begun + seconds
    while clock() < end:
        handle(rows, None)
        calls += 1
    return calls * batch_size / (clock() - begun)


def loop_class(case: Case, seconds: float) -> float:
    """
    The loop of a case's handler, in a process of its own, so that nothing heavy is imported here.

    :returns: requests per second; 0 where the handler cannot run in this environment.
    """
    command = [sys.executable, "-m", "bench.limits", "--loop", case.name, "--seconds", str(seconds)]
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    ran = subprocess.run(command, capture_output=True, timeout=60, env=environment, check=False)
    return float(json.loads(ran.stdout)) if ran.returncode == 0 else 0.0


def _receive(sock: socket.socket, view: memoryview, size: int) -> bool:
    got = 0
    while got < size:
        count = sock.recv_into(view[got:size])
        if not count:
            return False
        got += count
    return True


def round_trip(size: int, seconds: float) -> RoundTrip:
    """Send a message over a socketpair to a forked process, which sends it back, again and again."""
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    pid = os.fork()
    message, buffer = bytes(size), memoryview(bytearray(size))
    if pid == 0:
        ours.close()
        while _receive(theirs, buffer, size):
            theirs.sendall(buffer)
        os._exit(0)
    theirs.close()
    clock, before, trips = time.perf_counter, os.times(), 0
    begun = clock()
    end = begun + seconds
    while clock() < end:
        ours.sendall(message)
        _receive(ours, buffer, size)
        trips += 1
    took = clock() - begun
    ours.close()
    os.waitpid(pid, 0)
    after = os.times()
    cpu = sum(after[:4]) - sum(before[:4])
    return RoundTrip(size, took / trips, cpu / trips)


def loop_sheet(found: Mapping[str, float]) -> Sheet:
    """The table of the bare loops."""
    titles = {case.name: case.title for case in CASES}
    rows = tuple((titles[name], f"{rate:,.0f}", f"{1e6 / rate:,.1f}") for name, rate in found.items())
    return Sheet("Handlers in a bare loop, one process", ("case", "req/s", "us/req"), rows)


def trip_sheet(trips: Sequence[RoundTrip]) -> Sheet:
    """The table of socketpair round trips."""
    rows = tuple((f"{t.size:,}", f"{t.seconds * 1e6:,.1f}", f"{t.cpu * 1e6:,.1f}") for t in trips)
    columns = ("bytes", "us/round trip", "CPU us/round trip")
    return Sheet("Socketpair round trip between two processes", columns, rows)


def main() -> None:
    """Print the floor of this machine."""
    parser = argparse.ArgumentParser(prog="python -m bench.limits", description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--loop", default="", help="only this case's handler, as a bare number")
    options = parser.parse_args()
    chosen = {case.name: case for case in CASES}
    if options.loop:
        case = chosen[options.loop]
        body = (bytes(range(64)) * (case.body // 64 + 1))[: case.body]
        print(json.dumps(loop(case.handler, body, case.batch_size, options.seconds)))
        return
    console = Console(width=200)
    console.print(describe_machine())
    found = {case.name: loop_class(case, options.seconds) for case in CASES if case.handler}
    loop_sheet({name: rate for name, rate in found.items() if rate}).show(console)
    trip_sheet([round_trip(size, options.seconds) for size in (100, 100_000, 1_000_000)]).show(console)


if __name__ == "__main__":
    main()
