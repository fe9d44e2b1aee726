"""
``python -m bench.workflow_soak``: a workflow under overload, under kills, and with large bodies.

Each of the three runs for ``--seconds``: ten times what a chain of three nodes can serve; a load that it can
serve, while a worker of a random node is killed each second; and 1 MB bodies through three nodes.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from attrs import frozen

from bench.arrivals import UNANSWERED
from bench.servers import CHECKOUT, ModelServer
from bench.target import Deployment, Target
from bench.workflows import CHAIN, NODES

MEGABYTE = 1_000_000
PATH = f"/wfpredict/{CHAIN}"
LARGE_CONNECTIONS = 8
TOO_LATE = 0.1
"""Seconds by which one request in a hundred may leave too late."""
PARTS = ("overload", "kills", "large")


def capacity_of(target: Target, connections: int, seconds: float = 3.0) -> float:
    """Answers a second with so many clients that each ask again at once."""
    told = _program("bench.client", target, "--connections", str(connections), "--seconds", str(seconds))
    return int(told["requests"]) / float(told["seconds"])


def overload(target: Target, options: argparse.Namespace, say: Callable[[str], None]) -> None:
    """Ask ten times more than the chain can serve; what is answered, refused and forgotten."""
    capacity = capacity_of(target, max(16, 8 * options.batch_size))
    with _arrivals(target, capacity * options.times, options) as load:
        told = _finished(load)
    good = told["answered_in_time"] / options.seconds
    say(f"capacity {capacity:.0f} requests a second; load {capacity * options.times:.0f}")
    say(f"goodput {good:.0f} a second: {good / capacity:.0%} of capacity")
    tell_load(told, say)


def kills(target: Target, options: argparse.Namespace, say: Callable[[str], None]) -> None:
    """Serve half of what the chain can, while the worker of a random node is killed each second."""
    capacity = capacity_of(target, 16)
    chosen, killed = random.Random(6), 0
    with _arrivals(target, capacity * options.share, options) as load:
        begun = time.monotonic()
        while time.monotonic() < begun + options.seconds:
            time.sleep(options.kill_every)
            for pid in target.worker_pids(f"{CHAIN}__{chosen.choice(NODES)}"):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
        told = _finished(load)
    say(f"capacity {capacity:.0f} requests a second; load {capacity * options.share:.0f}")
    say(f"workers killed {killed}")
    tell_load(told, say)


def tell_load(told: dict[str, Any], say: Callable[[str], None]) -> None:
    """Say what became of the requests, and whether it is the load's doing."""
    failed = told["failed"]
    say(
        f"sent {told['sent']}, answered {told['answered']}, refused or failed {sum(failed.values())}, "
        f"unanswered {failed.get(UNANSWERED, 0)}"
    )
    for why, count in failed.items():
        say(f"  {count} x {why}")
    say(f"CPU of the load {told['cpu']:.1f} s")
    for what in ("answers", "refusals", "late"):
        middle, most, longest = (seconds * 1000 for seconds in told[what])
        say(f"{what}: p50 {middle:.1f} ms, p99 {most:.1f} ms, longest {longest:.1f} ms")
    if told["late"][1] > TOO_LATE:
        say(f"THE LOAD WAS LATE by more than {TOO_LATE} s: these figures say little about the server")


def _arrivals(target: Target, rate: float, options: argparse.Namespace) -> subprocess.Popen[bytes]:
    line = _line("bench.arrivals", target, "--expected", "OK", "--rate", f"{rate:.1f}")
    return subprocess.Popen([*line, "--seconds", str(options.seconds)], stdout=subprocess.PIPE, cwd=CHECKOUT)


def _finished(load: subprocess.Popen[bytes]) -> dict[str, Any]:
    assert load.stdout is not None
    told: dict[str, Any] = json.loads(load.stdout.read())
    return told


def _line(module: str, target: Target, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, "--port", str(target.port), "--path", PATH, *arguments]


def _program(module: str, target: Target, *arguments: str) -> dict[str, Any]:
    """Run a client to its end; return what it printed."""
    line = _line(module, target, *arguments)
    ran = subprocess.run(line, capture_output=True, timeout=700, cwd=CHECKOUT, check=True)
    told: dict[str, Any] = json.loads(ran.stdout.decode().splitlines()[-1])
    return told


@frozen
class ServerMemory:
    """
    What the server process has for bodies, in bytes.

    :param own: memory that no other process has.
    :param shared: of the file that it shares with workers, what was ever written to.
    """

    own: int
    shared: int

    @classmethod
    def of(cls, pid: int) -> ServerMemory:
        """Look at a process."""
        process = psutil.Process(pid)
        own = next(
            int(line.split()[1]) * 1024
            for line in Path(f"/proc/{pid}/status").read_text().splitlines()
            if line.startswith("RssAnon:")
        )
        shared = 0
        for descriptor in Path(f"/proc/{process.pid}/fd").iterdir():
            with suppress(OSError):
                if "memfd:modelserver" in os.readlink(descriptor):
                    shared = max(shared, os.stat(descriptor).st_blocks * 512)
        return cls(own, shared)


def ask_large(target: Target, body: Path, count: int) -> dict[str, int]:
    """Ask so often; return what went wrong."""
    told = _program(
        *("bench.client", target, "--body", str(body), "--length", str(body.stat().st_size)),
        *("--count", str(count), "--seconds", "600", "--connections", str(LARGE_CONNECTIONS)),
    )
    errors: dict[str, int] = told["errors"]
    if told["requests"] != count:
        errors["missing"] = count - int(told["requests"])
    return errors


def large(target: Target, options: argparse.Namespace, folder: Path, say: Callable[[str], None]) -> None:
    """Send 1 MB bodies through the chain; how many copies of them the server has, and whether it grows."""
    body = folder / "large"
    body.write_bytes(os.urandom(MEGABYTE))
    start = ServerMemory.of(target.tree.pid)
    errors = ask_large(target, body, options.runs // 10)
    first = ServerMemory.of(target.tree.pid)
    again = ask_large(target, body, options.runs)
    last = ServerMemory.of(target.tree.pid)
    peak = max(first.own, last.own) - start.own + max(first.shared, last.shared) - start.shared
    copies = peak / (LARGE_CONNECTIONS * len(NODES) * MEGABYTE)
    say(f"large bodies: errors {errors | again or 'none'} of {options.runs + options.runs // 10}")
    say(
        f"own memory {start.own / 1e6:.1f} -> {first.own / 1e6:.1f} -> {last.own / 1e6:.1f} MB, "
        f"shared {start.shared / 1e6:.1f} -> {first.shared / 1e6:.1f} -> {last.shared / 1e6:.1f} MB: "
        f"{copies:.2f} copies of a body for each node of {LARGE_CONNECTIONS} runs at a time"
    )


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.workflow_soak", description=__doc__)
    parser.add_argument("--parts", default=",".join(PARTS), help="comma-separated")
    parser.add_argument("--handler", choices=("wait", "slow"), default="wait", help="10 or 50 ms a node")
    parser.add_argument("--handlers", default="", help="one for each node, comma-separated, instead")
    parser.add_argument("--batch-size", type=int, default=1, help="of the nodes")
    parser.add_argument("--seconds", type=float, default=60.0, help="of overload and of kills")
    parser.add_argument("--times", type=float, default=10.0, help="the capacity, for the overload")
    parser.add_argument("--share", type=float, default=0.5, help="of the capacity, while workers are killed")
    parser.add_argument("--kill-every", type=float, default=1.0, help="seconds between two kills")
    parser.add_argument("--runs", type=int, default=10_000, help="with large bodies")
    return parser.parse_args(arguments)


def main() -> None:
    """Run what was asked for and print what it has shown."""
    options = parse()

    def say(line: str) -> None:
        print(line, flush=True)

    with tempfile.TemporaryDirectory(prefix="soak-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        target = ModelServer("modelserver", folder / "modelserver", settings={"job_queue_size": 100})
        target.start()
        try:
            for part in options.parts.split(","):
                say(f"{part}:")
                if part == "large":
                    target.register_workflow(Deployment(CHAIN, "echo", max_batch_delay=0.0), NODES)
                    large(target, options, folder, say)
                else:
                    handlers = options.handlers.split(",") if options.handlers else ()
                    deployment = Deployment(CHAIN, options.handler, 1, options.batch_size, 0.0)
                    target.register_workflow(deployment, NODES, handlers)
                    (overload if part == "overload" else kills)(target, options, say)
                target.unregister_workflow(CHAIN)
        finally:
            target.stop()


if __name__ == "__main__":
    main()
