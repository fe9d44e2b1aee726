"""
``python -m bench.soak``: a server under crashes, leaving clients and churn, or (--overload) too much work.

Two workers that take 5 ms a request serve 60 % of what they can, while a random one is killed each second,
clients leave in the middle, and models come and go. What is not answered is counted by its cause.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
from attrs import define, field, frozen

from bench.client import percentile
from bench.open_load import Account, Asker, HttpAsker, OpenLoad, run_every
from bench.servers import ModelServer
from bench.target import Deployment, Target, call

MODEL, CHURNED, SLOW = "five", "noop", "wait"
MEGABYTE = 1 << 20
SETTLING = 5.0
"""Seconds of load before memory and descriptors are read for the first time, and of rest before the last."""


@frozen
class Holdings:
    """What the server process holds."""

    rss: int
    descriptors: int

    @classmethod
    def of(cls, pid: int) -> Holdings:
        """Look at a process."""
        process = psutil.Process(pid)
        return cls(process.memory_info().rss, process.num_fds())


@define
class Churn:
    """
    What goes on beside the load: kills, models that come and go, numbers of workers that change.

    :param workers: processes that were seen, ever.
    """

    target: Target
    kills: int = 0
    changes: int = 0
    workers: set[int] = field(factory=set)
    _random: random.Random = field(factory=lambda: random.Random(6))
    _is_there: bool = False

    def kill(self) -> None:
        """End a random worker without a warning."""
        pids = self.pids(MODEL)
        if pids:
            with suppress(ProcessLookupError):
                os.kill(self._random.choice(pids), signal.SIGKILL)
                self.kills += 1

    def pids(self, name: str) -> list[int]:
        """The processes of a model's workers."""
        code, body = call(self.target.management_port, "GET", f"/models/{name}")
        found = _pids(body) if code == 200 else []
        self.workers.update(found)
        return found

    def change(self) -> None:
        """Register another model, scale it, or take it away."""
        self.changes += 1
        if not self._is_there:
            self.target.register(Deployment(CHURNED, CHURNED))
            self._is_there = True
        elif self._random.random() < 0.6:
            count = self._random.randrange(3)
            query = f"min_worker={count}&max_worker={count}"
            call(self.target.management_port, "PUT", f"/models/{CHURNED}?{query}")
            self.pids(CHURNED)
        else:
            self.target.unregister(CHURNED)
            self._is_there = False


def _pids(body: bytes) -> list[int]:
    return [worker["pid"] for worker in json.loads(body)[0]["workers"] if worker.get("pid", -1) > 0]


def _milliseconds(ordered: Sequence[float], share: float) -> str:
    return f"{percentile(ordered, share) * 1000:.1f} ms"


@frozen
class Outcome:
    """What a run has shown."""

    account: Account
    before: Holdings
    after: Holdings
    seconds: float

    def lines(self) -> list[str]:
        """For people."""
        account = self.account
        ordered = sorted(account.seconds)
        return [
            f"sent {account.sent}, answered {account.answered}, clients who left {account.left}, "
            f"unanswered {account.unanswered}",
            "failed: "
            + (", ".join(f"{count} x {why}" for why, count in account.failed.most_common()) or "none"),
            f"answers: p50 {_milliseconds(ordered, 0.5)}, p99 {_milliseconds(ordered, 0.99)}, "
            f"longest {_milliseconds(ordered, 1.0)}",
            f"memory {self.before.rss / MEGABYTE:.1f} -> {self.after.rss / MEGABYTE:.1f} MB, "
            f"descriptors {self.before.descriptors} -> {self.after.descriptors}",
        ]


def _asker(target: Target, model: str, options: argparse.Namespace) -> Asker:
    """What asks, as the options say; grpcio is there only where it is asked for."""
    if not options.grpc:
        return HttpAsker(target.port, f"/predictions/{model}")
    from bench.rpc.asker import RpcAsker

    return RpcAsker(target.rpc_port, model)


async def soak(target: Target, options: argparse.Namespace, say: Callable[[str], None]) -> Outcome:
    """Kills, leaving clients, churn."""
    capacity = await OpenLoad(_asker(target, MODEL, options), 0.0).keep_busy(3.0, 16)
    load = OpenLoad(_asker(target, MODEL, options), capacity * options.share, options.leaving)
    say(f"capacity {capacity:.0f} requests a second; load {load.rate:.0f}")
    churn = Churn(target)
    beside = [run_every(options.kill_every, churn.kill), run_every(2.0, churn.change)]
    running = asyncio.ensure_future(load.run(options.seconds))
    await asyncio.sleep(SETTLING)
    before = Holdings.of(target.tree.pid)
    begun = time.monotonic()
    await asyncio.wait({running, asyncio.ensure_future(_tell(target, load.account, running, say))})
    for task in beside:
        task.cancel()
    await asyncio.sleep(SETTLING)
    after = Holdings.of(target.tree.pid)
    churn.pids(MODEL)
    say(f"workers killed {churn.kills}, changes of the other model {churn.changes}")
    call(target.management_port, "DELETE", f"/models/{CHURNED}")
    call(target.management_port, "DELETE", f"/models/{MODEL}")
    orphans = [pid for pid in churn.workers if psutil.pid_exists(pid)]
    say(f"worker processes seen {len(churn.workers)}, left over {len(orphans)}")
    return Outcome(load.account, before, after, time.monotonic() - begun)


async def overload(target: Target, options: argparse.Namespace, say: Callable[[str], None]) -> Outcome:
    """Many times more than can be served, by one worker that takes 10 ms: the client has to keep up, too."""
    capacity = await OpenLoad(_asker(target, SLOW, options), 0.0, expected=b"OK").keep_busy(3.0, 16)
    load = OpenLoad(_asker(target, SLOW, options), capacity * options.times, expected=b"OK")
    say(f"capacity {capacity:.0f} requests a second; load {load.rate:.0f}")
    before = Holdings.of(target.tree.pid)
    peak = before.rss
    begun = time.monotonic()
    running = asyncio.ensure_future(load.run(options.seconds))
    answered = 0
    while not running.done():
        await asyncio.sleep(0.5)
        peak = max(peak, Holdings.of(target.tree.pid).rss)
        if time.monotonic() - begun <= options.seconds:
            answered = load.account.answered
    refusals = sorted(load.account.refusal_seconds)
    goodput = answered / options.seconds
    say(f"goodput {goodput:.0f} a second: {goodput / capacity:.0%} of capacity")
    say(f"refusals {len(refusals)}: p50 {_milliseconds(refusals, 0.5)}, p99 {_milliseconds(refusals, 0.99)}")
    say(f"memory at its peak {peak / MEGABYTE:.1f} MB")
    return Outcome(load.account, before, Holdings.of(target.tree.pid), time.monotonic() - begun)


async def _tell(
    target: Target, account: Account, running: asyncio.Future[None], say: Callable[[str], None]
) -> None:
    """A line now and then, while it runs."""
    begun = time.monotonic()
    while not running.done():
        await asyncio.wait({running}, timeout=30.0)
        held = Holdings.of(target.tree.pid)
        say(
            f"{time.monotonic() - begun:.0f} s: sent {account.sent}, answered {account.answered}, "
            f"failed {sum(account.failed.values())}, {held.rss / MEGABYTE:.1f} MB, "
            f"{held.descriptors} descriptors"
        )


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.0, help="default: 600, with --overload 60")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--share", type=float, default=0.6, help="of the capacity that is asked for")
    parser.add_argument("--kill-every", type=float, default=1.0, help="seconds between two kills")
    parser.add_argument("--leaving", type=float, default=0.02, help="share of clients that leave early")
    parser.add_argument("--overload", action="store_true", help="ask for more than can be served instead")
    parser.add_argument("--times", type=float, default=10.0, help="the capacity, for --overload")
    parser.add_argument("--grpc", action="store_true", help="ask over gRPC (needs grpcio)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting")
    options = parser.parse_args(arguments)
    options.seconds = options.seconds or (60.0 if options.overload else 600.0)
    return options


def main() -> None:
    """Run one of the two and print what it has shown."""
    options = parse()
    settings: dict[str, object] = {
        "job_queue_size": 100 if options.overload else 1000,
        **dict(pair.split("=", 1) for pair in options.set),
    }
    with tempfile.TemporaryDirectory(prefix="soak-", ignore_cleanup_errors=True) as folder:
        target = ModelServer(
            "modelserver", Path(folder) / "modelserver", settings=settings, has_rpc=options.grpc
        )
        target.start()
        try:
            model = SLOW if options.overload else MODEL
            target.register(Deployment(model, model, workers=1 if options.overload else options.workers))
            run = overload if options.overload else soak
            outcome = asyncio.run(run(target, options, lambda line: print(line, flush=True)))
            print("\n".join(outcome.lines()), flush=True)
        finally:
            target.stop()


if __name__ == "__main__":
    main()
