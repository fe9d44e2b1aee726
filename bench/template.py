"""
What template workers bring for a torch model of 410 MB: the same model started in each way, side by side.

Each way (``spawn``; ``template`` with each ``preload``) is registered with one worker, scaled to eight and
back, and its worker is killed; the eight answer the same questions. Before that, a small torch model, spawned
and with default settings, is scaled from one worker to four and back, and its worker is killed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs
from attrs import frozen
from rich.console import Console

from bench.lifecycle import recover, workers_memory
from bench.processes import Memory
from bench.selection import add_arguments, own_server
from bench.sheet import Sheet, describe_machine, megabytes, milliseconds, write_json, write_markdown
from bench.target import Deployment, Target, TargetFailed, call

WORKERS = 8
FEW_WORKERS = 4
QUESTIONS = 64
WAYS = {
    "spawn": (("worker_start", "spawn"),),
    "template, libraries": (("worker_start", "template"), ("preload", "libraries")),
    "template, imports": (("worker_start", "template"), ("preload", "imports")),
    "template, model": (("worker_start", "template"), ("preload", "model")),
}


@frozen
class Way:
    """
    One way to start workers: seconds, and memory.

    :param one: memory of the first worker, after it has answered.
    :param all: memory of the eight workers, after they have answered.
    :param tree: memory of the whole server then, templates included.
    :param answers: what the eight said, for the comparison with the other ways.
    """

    name: str
    register: float
    scale: float
    recovery: float
    one: Memory
    all: Memory
    tree: Memory
    answers: tuple[str, ...]
    load: float


SMALL_WAYS = {"spawn": (("worker_start", "spawn"),), "default settings": ()}


@frozen
class Start:
    """How long starts of a small torch model's workers take, in seconds."""

    name: str
    register: float
    scale: float
    recovery: float
    load: float


def write_weights(folder: Path) -> Path:
    """Write the model's weights in a process of its own, so that torch is not imported here."""
    root = Path(__file__).resolve().parents[1]
    environment = os.environ | {"PYTHONPATH": str(root)}
    command = [sys.executable, "-m", "bench.handlers.large", str(folder)]
    told = subprocess.run(
        command, check=True, timeout=300, env=environment, stdout=subprocess.PIPE, text=True
    )
    return Path(told.stdout.strip())


def ask(target: Target, name: str) -> tuple[str, ...]:
    """
    Put the questions, as many at a time as there are workers.

    :raises TargetFailed: one was not answered.
    """

    def one(seed: int) -> str:
        code, body = call(target.port, "POST", f"/predictions/{name}", body=str(seed).encode())
        if code != 200:
            raise TargetFailed(f"question {seed} was answered {code}: {body.decode(errors='replace')}")
        return body.decode()

    with ThreadPoolExecutor(WORKERS * 2) as pool:
        return tuple(pool.map(one, range(QUESTIONS)))


def measure(target: Target, name: str, weights: Path) -> Way:
    """
    Go one way once.

    :raises TargetFailed: the server refused.
    """
    load = os.getloadavg()[0]
    register = target.register(Deployment("large", "large", parameters=WAYS[name], extra=(weights,)))
    try:
        ask(target, "large")
        one = workers_memory(target.worker_pids("large"))
        scale = target.scale("large", WORKERS)
        answers = ask(target, "large")
        everyone = workers_memory(target.worker_pids("large"))
        tree = target.tree.memory()
        target.scale("large", 1)
        recovery = recover(target, "large")[0]
    finally:
        target.unregister("large")
    return Way(name, register, scale, recovery, one, everyone, tree, answers, load)


def measure_small(target: Target, name: str) -> Start:
    """
    Register a small torch model with one worker, scale it to four and back, and kill the worker.

    :raises TargetFailed: the server refused.
    """
    load = os.getloadavg()[0]
    register = target.register(Deployment("small", "small", parameters=SMALL_WAYS[name]))
    try:
        scale = target.scale("small", FEW_WORKERS)
        target.scale("small", 1)
        recovery = recover(target, "small")[0]
    finally:
        target.unregister("small")
    return Start(name, register, scale, recovery, load)


def small_sheet(rounds: Sequence[Sequence[Start]]) -> Sheet:
    """The table of the small model, with median times; the load is that of the last round."""
    rows = tuple(
        (
            each[-1].name,
            milliseconds(statistics.median(start.register for start in each)),
            milliseconds(statistics.median(start.scale for start in each)),
            milliseconds(statistics.median(start.recovery for start in each)),
            f"{each[-1].load:.2f}",
        )
        for each in zip(*rounds, strict=True)
    )
    columns = ("workers", "register ms", "scale 1 to 4 ms", "kill -9 to answer ms", "load")
    return Sheet("Workers of a small torch model", columns, rows)


def middle(rounds: Sequence[Way]) -> Way:
    """One way, gone several times: median times; answers that differ between rounds are shown as none."""
    last = rounds[-1]
    return attrs.evolve(
        last,
        register=statistics.median(way.register for way in rounds),
        scale=statistics.median(way.scale for way in rounds),
        recovery=statistics.median(way.recovery for way in rounds),
        answers=last.answers if all(way.answers == last.answers for way in rounds) else (),
    )


def sheet(ways: list[Way]) -> Sheet:
    """The table; the last columns compare with the first way."""
    first = ways[0]
    rows = tuple(
        (
            way.name,
            milliseconds(way.register),
            milliseconds(way.scale),
            milliseconds(way.recovery),
            megabytes(way.one.pss),
            megabytes(way.all.pss),
            megabytes(way.tree.pss),
            f"{way.register / first.register:.2f}",
            f"{way.all.pss / first.one.pss:.2f}",
            "yes" if way.answers and way.answers == first.answers else "NO",
            f"{way.load:.2f}",
        )
        for way in ways
    )
    columns = (
        *("workers", "register ms", "scale 1 to 8 ms", "kill -9 to answer ms"),
        *("PSS of 1, MB", "PSS of 8, MB", "PSS of all, MB"),
        *("register / spawned", "PSS of 8 / 1 spawned", "same answers", "load"),
    )
    return Sheet("Template workers, torch model of 410 MB", columns, rows)


def main() -> None:
    """Compare the ways to start workers."""
    parser = argparse.ArgumentParser(prog="python -m bench.template", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often each way; medians are shown")
    parser.add_argument("--small", action="store_true", help="only the small model, in a minute")
    add_arguments(parser)
    options = parser.parse_args()
    console = Console(width=200)
    console.print(describe_machine())
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        large = {} if options.small else WAYS
        weights = Path() if options.small else write_weights(Path(folder))
        target = own_server(options, Path(folder))
        target.start()
        try:
            small = [[measure_small(target, name) for name in SMALL_WAYS] for _ in range(options.rounds)]
            rounds = [[measure(target, name, weights) for name in large] for _ in range(options.rounds)]
        finally:
            target.stop()
    ways = [middle(each) for each in zip(*rounds, strict=True)]
    found = [small_sheet(small), *([sheet(ways)] if ways else [])]
    for each in found:
        each.show(console)
    if options.json:
        starts = [attrs.asdict(start) for each in small for start in each]
        write_json(options.json, {"template": [attrs.asdict(way) for way in ways], "small": starts})
    if options.markdown:
        write_markdown(options.markdown, found)


if __name__ == "__main__":
    main()
