"""
``python -m bench.workflow_soak``: a workflow under overload, under kills, and with large bodies.

Each of the three runs for ``--seconds``: ten times what a chain of three nodes can serve; a load that it can
serve, while a worker of a random node is killed each second; and 1 MB bodies through three nodes.
"""

from __future__ import annotations

import argparse
import asyncio
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

import psutil
from attrs import frozen

from bench.open_load import HttpAsker, OpenLoad, run_every
from bench.servers import ModelServer
from bench.soak import SETTLING, Holdings, Outcome
from bench.target import Deployment, Target, call
from bench.workflows import CHAIN, NODES

MEGABYTE = 1_000_000
PATH = f"/wfpredict/{CHAIN}"
LARGE_CONNECTIONS = 8
PARTS = ("overload", "kills", "large")


async def overload(target: Target, options: argparse.Namespace, say: Callable[[str], None]) -> Outcome:
    """Ask ten times more than the chain can serve; what is answered, refused and forgotten."""
    load = OpenLoad(HttpAsker(target.port, PATH), 0.0, expected=b"OK")
    capacity = await load.keep_busy(3.0, 16)
    load = OpenLoad(HttpAsker(target.port, PATH), capacity * options.times, expected=b"OK")
    say(f"capacity {capacity:.0f} requests a second; load {load.rate:.0f}")
    before, begun = Holdings.of(target.tree.pid), time.monotonic()
    running = asyncio.ensure_future(load.run(options.seconds))
    answered = 0
    while not running.done():
        await asyncio.sleep(0.5)
        if time.monotonic() - begun <= options.seconds:
            answered = load.account.answered
    refusals = sorted(load.account.refusal_seconds)
    goodput = answered / options.seconds
    say(f"goodput {goodput:.0f} a second: {goodput / capacity:.0%} of capacity")
    if refusals:
        say(f"refusals {len(refusals)}: p50 {refusals[len(refusals) // 2] * 1000:.1f} ms")
    return Outcome(load.account, before, Holdings.of(target.tree.pid), time.monotonic() - begun)


async def kills(target: Target, options: argparse.Namespace, say: Callable[[str], None]) -> Outcome:
    """Serve half of what the chain can, while the worker of a random node is killed each second."""
    load = OpenLoad(HttpAsker(target.port, PATH), 0.0, expected=b"OK")
    capacity = await load.keep_busy(3.0, 16)
    load = OpenLoad(HttpAsker(target.port, PATH), capacity * options.share, expected=b"OK")
    say(f"capacity {capacity:.0f} requests a second; load {load.rate:.0f}")
    chosen, killed = random.Random(6), [0]

    def kill() -> None:
        code, body = call(target.management_port, "GET", f"/models/{CHAIN}__{chosen.choice(NODES)}")
        workers = json.loads(body)[0]["workers"] if code == 200 else []
        for pid in [worker["pid"] for worker in workers if worker.get("pid", -1) > 0]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed[0] += 1

    before, begun = Holdings.of(target.tree.pid), time.monotonic()
    beside = run_every(options.kill_every, kill)
    await load.run(options.seconds)
    beside.cancel()
    await asyncio.sleep(SETTLING)
    say(f"workers killed {killed[0]}")
    return Outcome(load.account, before, Holdings.of(target.tree.pid), time.monotonic() - begun)


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
    size = body.stat().st_size
    line = [sys.executable, "-m", "bench.client", "--port", str(target.port), "--path", PATH]
    line += ["--body", str(body), "--length", str(size), "--count", str(count), "--seconds", "600"]
    line += ["--connections", str(LARGE_CONNECTIONS)]
    ran = subprocess.run(line, capture_output=True, timeout=700, cwd=Path(__file__).parents[1], check=True)
    told = json.loads(ran.stdout.decode().splitlines()[-1])
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
                handler = "echo" if part == "large" else options.handler
                target.register_workflow(Deployment(CHAIN, handler, max_batch_delay=0.0), NODES)
                say(f"{part}:")
                if part == "large":
                    large(target, options, folder, say)
                else:
                    run = overload if part == "overload" else kills
                    say("\n".join(asyncio.run(run(target, options, say)).lines()))
                target.unregister_workflow(CHAIN)
        finally:
            target.stop()


if __name__ == "__main__":
    main()
