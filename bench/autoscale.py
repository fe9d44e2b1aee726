"""
How workers follow the load with ``autoscale``: a step, a constant load, a load like a sine, and from zero.

Requests leave at random times (Poisson), however long the answers take; the handler takes 10 ms and no CPU.
The number of ready workers is asked ten times a second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlencode

import attrs
from attrs import define, field
from rich.console import Console

from bench.open_load import HttpAsker, Refused
from bench.selection import add_arguments, own_server
from bench.sheet import Sheet, describe_machine, milliseconds, write_json, write_markdown
from bench.target import Deployment, Target, call
from bench.today.peers import PEERS, PeerServer, find_home, program
from modelserver.cli.quickstart.command import pack_digits
from modelserver.examples import digits as examples

Rate = Callable[[float], float]
"""Requests a second, by the seconds since the start."""

MODEL, SEED = "wait", 15
STEP = 8.0
"""Seconds after which the load rises."""
RAY = next(peer for peer in PEERS if peer.key == "rayserve")
PERIOD, PEAK = 60.0, 240.0
"""Seconds of a wave, and its most requests a second: 60 % of what four workers serve."""


@define
class Run:
    """
    What a load saw. Times are seconds since its start.

    :param waits: when each request left, and how long its answer took.
    :param ready: ready workers at each look.
    """

    waits: list[tuple[float, float]] = field(factory=list)
    ready: list[tuple[float, int]] = field(factory=list)
    failed: list[str] = field(factory=list)

    def p99(self, since: float = 0.0, until: float = math.inf) -> float:
        """Return the seconds in which 99 of 100 requests of a time were answered."""
        waits = sorted(wait for left, wait in self.waits if since <= left < until)
        return waits[len(waits) * 99 // 100] if waits else math.nan

    @property
    def turns(self) -> int:
        """Return how often the number of ready workers has changed its direction."""
        steps = [later > before for (_, before), (_, later) in pairwise(self.ready) if later != before]
        return sum(one != other for one, other in pairwise(steps))

    @property
    def worker_seconds(self) -> float:
        """Return the ready workers, summed over time."""
        return sum(count * (until - since) for (since, count), (until, _) in pairwise(self.ready))

    def when_ready(self, workers: int, since: float) -> float:
        """Return the seconds from ``since`` until so many were ready."""
        return next((at - since for at, count in self.ready if at >= since and count >= workers), math.nan)


async def drive(
    target: Target,
    seconds: float,
    rate: Rate,
    path: str = f"/predictions/{MODEL}",
    count: Callable[[Target], int] | None = None,
) -> Run:
    """
    Let requests come for so long, and wait for every answer.

    :param count: asks how many workers are ready; None: as this server tells.
    """
    run, asker, chance = Run(), HttpAsker(target.port, path), random.Random(SEED)
    begun = time.monotonic()
    tasks: set[asyncio.Task[None]] = set()

    async def one(left: float) -> None:
        try:
            await asker.ask(b"x")
        except (Refused, OSError, asyncio.TimeoutError) as error:
            run.failed.append(str(error) or type(error).__name__)
        else:
            run.waits.append((left, time.monotonic() - begun - left))

    looks = asyncio.ensure_future(_look(partial(count or ready_workers, target), run, begun))
    most = max(rate(tenth / 10) for tenth in range(round(seconds * 10)))
    due = 0.0
    while (due := due + chance.expovariate(most)) < seconds:
        if chance.random() * most > rate(due):
            continue
        await asyncio.sleep(max(0.0, begun + due - time.monotonic()))
        task = asyncio.ensure_future(one(time.monotonic() - begun))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    if tasks:
        await asyncio.wait(tasks)
    looks.cancel()
    await asker.close()
    return run


async def _look(count: Callable[[], int], run: Run, begun: float) -> None:
    loop = asyncio.get_running_loop()
    while True:
        ready = await loop.run_in_executor(None, count)
        run.ready.append((time.monotonic() - begun, ready))
        await asyncio.sleep(0.1)


def ready_workers(target: Target) -> int:
    """Ask how many workers have loaded the model."""
    code, body = call(target.management_port, "GET", f"/models/{MODEL}")
    if code != 200:
        return 0
    return sum(worker["status"] == "READY" for worker in json.loads(body)[0]["workers"])


def register(target: Target, least: int, most: int, **more: str) -> None:
    """Register the handler with autoscale, or with so many workers where both numbers are the same."""
    words = {"worker_start": "template", **more}
    if least != most:
        words |= {"autoscale": "true", "min_worker": str(least), "max_worker": str(most)}
    target.register(Deployment(MODEL, MODEL, workers=least, parameters=tuple(words.items())))


def rising(now: float) -> float:
    """The rate of a load that rises at once."""
    return 30.0 if now < STEP else 300.0


def step(target: Target) -> tuple[str, ...]:
    """Let the load rise from 30 to 300 requests a second."""
    register(target, 1, 4)
    run = asyncio.run(drive(target, 20.0, rising))
    target.unregister(MODEL)
    steady, after = run.p99(14.0), run.p99(10.0, 12.0)
    return (
        "step, 30 to 300/s",
        f"4 ready after {run.when_ready(4, STEP):.2f} s",
        f"p99 {milliseconds(after)} ms 2 to 4 s after it, steady {milliseconds(steady)} ms",
        f"{len(run.failed)} failed of {len(run.waits)}",
    )


def step_of_ray(home: Path, folder: Path, seconds: float = 60.0) -> tuple[str, ...]:
    """Let the load rise in the same way for Ray Serve, with its own autoscaling of one to four replicas."""
    peer = attrs.evolve(RAY, command=program("on_rayserve_elastic"), environment={})
    job = Deployment(MODEL, MODEL)
    server = PeerServer("Ray Serve", folder / "ray", peer=peer, home=home, deployment=job, body=b"x")

    def replicas(_: Target) -> int:
        told = server.folder / "replicas"
        return int(told.read_text()) if told.exists() else 0

    server.start()
    try:
        run = asyncio.run(drive(server, STEP + seconds, rising, peer.path, replicas))
    finally:
        server.stop()
    after, whole = milliseconds(run.p99(10.0, 12.0)), milliseconds(run.p99(STEP))
    steps = (f"{count} after {run.when_ready(count, STEP):.2f}" for count in (2, 3, 4))
    return (
        "step, 30 to 300/s, Ray Serve",
        f"replicas: {', '.join(steps)} s",
        f"p99 {after} ms 2 to 4 s after it, {whole} ms in all",
        f"{len(run.failed)} failed of {len(run.waits) + len(run.failed)} {dict(Counter(run.failed))}",
    )


def constant(target: Target, seconds: float) -> tuple[str, ...]:
    """Keep four workers busy for 70 % of their time."""
    register(target, 1, 4)
    run = asyncio.run(drive(target, seconds, lambda now: 280.0))
    target.unregister(MODEL)
    return (
        f"280/s for {seconds:.0f} s",
        f"changes of direction: {run.turns}",
        f"p99 {milliseconds(run.p99(5.0))} ms",
        f"{len(run.failed)} failed of {len(run.waits)}",
    )


def wave(target: Target) -> tuple[str, ...]:
    """Let the load follow a sine, with workers that follow it and with four that do not."""

    def rate(now: float) -> float:
        return PEAK / 2 * (1 - math.cos(2 * math.pi * now / PERIOD))

    runs = []
    for least in (1, 4):
        register(target, least, 4)
        runs.append(asyncio.run(drive(target, PERIOD, rate)))
        target.unregister(MODEL)
    elastic, fixed = runs
    share = elastic.worker_seconds / fixed.worker_seconds
    return (
        f"0 to {PEAK:.0f}/s in {PERIOD:.0f} s",
        f"{share:.0%} of the worker-seconds of four",
        f"p99 {milliseconds(elastic.p99())} ms, of four {milliseconds(fixed.p99())} ms",
        f"{len(elastic.failed)} failed of {len(elastic.waits)}",
    )


def zero(target: Target, cycles: int, keep: bool, digits: bool) -> tuple[str, ...]:
    """Let a version fall asleep after each answer, and ask again."""
    words = {"idle_timeout": "1", "keep_template": str(keep).lower()}
    if digits:
        pack_digits(target.store)
        words |= {"url": "digits.mar", "model_name": MODEL, "autoscale": "true", "min_worker": "0"}
        call(target.management_port, "POST", f"/models?{urlencode(words)}")
        body = next(iter(sorted((Path(examples.__file__).parent / "samples").glob("*.png")))).read_bytes()
    else:
        register(target, 0, 4, **words)
        body = b"x"
    seconds, lost = [], 0
    for _ in range(cycles + 1):
        begun = time.monotonic()
        code, _ = call(target.port, "POST", f"/predictions/{MODEL}", body=body)
        seconds.append(time.monotonic() - begun)
        lost += code != 200
        while ready_workers(target):
            time.sleep(0.05)
        time.sleep(0.1)
    target.unregister(MODEL)
    again = sorted(seconds[1:])
    name, kept = "digits" if digits else "10 ms", "kept" if keep else "not kept"
    return (
        f"from zero, {name}, template {kept}",
        f"median {milliseconds(again[len(again) // 2])}, most {milliseconds(again[-1])} ms",
        f"the first of all {milliseconds(seconds[0])} ms",
        f"{lost} lost of {cycles + 1}",
    )


def run_cases(target: Target, options: argparse.Namespace) -> Sequence[tuple[str, ...]]:
    """Run the cases that were asked for."""
    rows = []
    for case in options.cases.split(","):
        if case == "step":
            rows.append(step(target))
        elif case == "ray":
            home = find_home(options.peers, RAY)
            if home is None:
                print(f"Ray Serve: not installed in {options.peers / RAY.key}: skipped")
            else:
                rows.append(step_of_ray(home, target.folder))
        elif case == "constant":
            rows.append(constant(target, options.seconds))
        elif case == "wave":
            rows.append(wave(target))
        elif case == "zero":
            rows.append(zero(target, options.cycles, keep=True, digits=False))
            rows.append(zero(target, options.cycles, keep=True, digits=True))
            rows.append(zero(target, max(1, options.cycles // 5), keep=False, digits=True))
    return rows


def main() -> None:
    """Run the cases, and show what they saw."""
    parser = argparse.ArgumentParser(prog="python -m bench.autoscale", description=__doc__)
    add_arguments(parser)
    parser.add_argument("--cases", default="step,ray,constant,wave,zero", help="of these, comma-separated")
    parser.add_argument("--peers", type=Path, default=Path("/opt/peers"), help="folder of environments")
    parser.add_argument("--seconds", type=float, default=300.0, help="of the constant load")
    parser.add_argument("--cycles", type=int, default=100, help="from zero and back")
    options = parser.parse_args()
    console = Console(width=200)
    console.print(describe_machine())
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        target = own_server(options, Path(folder))
        target.start()
        try:
            rows = run_cases(target, options)
        finally:
            target.stop()
    sheet = Sheet("Workers that follow the load", ("load", "workers", "answers", "requests"), tuple(rows))
    sheet.show(console)
    if options.json:
        write_json(options.json, {"autoscale": rows})
    if options.markdown:
        write_markdown(options.markdown, [sheet])


if __name__ == "__main__":
    main()
