"""
``python -m bench.remote``: what a worker behind a node's agent costs, beside one on this machine.

Both have the same handler, and batches of one job on their way, ``--under-way`` at a time; they are asked in
turn, round by round. A batch's time is from its frame to its answer: there is no HTTP in it. The agent is a
program of this machine; between it and the bench is TLS over loopback TCP, as between a node and its server.
With ``--prefix`` it runs where these words lead, such as ``ip netns exec NAME``, and dials ``--host``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil
from attrs import define, evolve, field, frozen
from rich.console import Console
from rich.table import Table
from twisted.internet.asyncioreactor import AsyncioSelectorReactor

from bench.remote_nodes import ProgramStarter, make_remote_backend
from modelserver.backends.local import LocalBackend
from modelserver.backends.process import HostServices
from modelserver.errors import ServingError
from modelserver.interfaces import WorkerBackend, WorkerProcess
from modelserver.jobs import Answer, CallMarks
from modelserver.spec import WorkerFailure, WorkerSettings, WorkerSpec
from modelserver.testing.providers import make_job, make_spec

HANDLERS = Path(__file__).with_name("handlers")
PATIENCE = 30.0
"""Seconds that a worker has to load, or a turn to end."""
WARM = 200
"""Batches before those that count."""


@define(eq=False)
class Caller:
    """
    A worker, and who asks it.

    :param began: when each batch that is on its way was sent.
    """

    loop: asyncio.AbstractEventLoop
    body: bytes
    process: WorkerProcess = field(init=False)
    ready: asyncio.Future[None] = field(init=False)
    began: dict[int, float] = field(factory=dict, init=False)
    times: list[float] = field(factory=list, init=False)
    left: int = field(default=0, init=False)
    number: int = field(default=0, init=False)
    gone: asyncio.Event = field(factory=asyncio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self.ready = self.loop.create_future()

    async def ask(self, count: int, under_way: int) -> Sequence[float]:
        """Send so many batches; return their times."""
        self.times, self.left, self.ready = [], count, self.loop.create_future()
        for _ in range(under_way):
            self._send()
        await asyncio.wait_for(self.ready, PATIENCE)
        return self.times

    def _send(self) -> None:
        self.left -= 1
        self.number += 1
        self.began[self.number] = time.perf_counter()
        self.process.send(self.number, [make_job(self.body)])
        self.process.flush()

    # What the process reports.

    def started(self) -> None: ...
    def turn_ended(self) -> None: ...
    def heard_again(self) -> None: ...
    def timed(self, number: int, place: int, marks: CallMarks) -> None: ...
    def dropped(self, number: int, calls: int) -> None: ...
    def counted(self, metrics: Sequence[Mapping[str, object]]) -> None: ...
    def part_arrived(self, number: int, answers: Sequence[Answer | ServingError]) -> None: ...

    def loaded(self) -> None:
        """It can be asked."""
        self.ready.set_result(None)

    def answered(self, number: int, answers: Sequence[Answer | ServingError], seconds: float) -> None:
        """Note the time, and send the next one."""
        self.times.append(time.perf_counter() - self.began.pop(number))
        if self.left > 0:
            self._send()
        elif not self.began:
            self.ready.set_result(None)

    def went_silent(self, failure: WorkerFailure) -> None:
        """It is too slow to count."""
        self.exited(failure)

    def exited(self, failure: WorkerFailure) -> None:
        """It is gone."""
        self.gone.set()
        if not self.ready.done():
            self.ready.set_exception(RuntimeError(str(failure)))


@frozen
class Turn:
    """
    Batches of one worker.

    :param seconds: of all of them together.
    :param used: processor seconds of this process, the agent and the worker.
    """

    times: tuple[float, ...]
    seconds: float
    used: float

    @property
    def p50(self) -> float:
        """The time in the middle, in milliseconds."""
        return statistics.median(self.times) * 1000


def _used() -> float:
    own = psutil.Process()
    return sum(sum(each.cpu_times()[:2]) for each in (own, *own.children(recursive=True)))


async def compare(arguments: argparse.Namespace, reactor: AsyncioSelectorReactor) -> dict[str, list[Turn]]:
    """Ask both workers in turn."""
    loop = asyncio.get_running_loop()
    turns: dict[str, list[Turn]] = {"local": [], "remote": []}
    lifeline = os.pipe()
    machine = HostServices(reactor, loop, reactor, lifeline[0], dict(os.environ), time.time)
    starter = ProgramStarter(host=arguments.host, prefix=arguments.prefix.split())
    with tempfile.TemporaryDirectory() as folder:
        remote = make_remote_backend(starter, Path(folder), loop, reactor)
        backends: dict[str, WorkerBackend] = {
            "local": LocalBackend(machine, WorkerSettings()),
            "remote": remote,
        }
        spec = evolve(make_spec(), folder=HANDLERS, handler=f"{arguments.handler}.py")
        callers = {name: Caller(loop, b"x" * arguments.size) for name in backends}
        try:
            for name, caller in callers.items():
                caller.process = backends[name].launch(caller, WorkerSpec(spec, name))
                await asyncio.wait_for(caller.ready, PATIENCE)
                await caller.ask(WARM, arguments.under_way)
            for _ in range(arguments.rounds):
                for name, caller in callers.items():
                    used, began = _used(), time.perf_counter()
                    times = await caller.ask(arguments.batches, arguments.under_way)
                    turns[name].append(Turn(tuple(times), time.perf_counter() - began, _used() - used))
        finally:
            for caller in callers.values():
                caller.process.stop()
                await asyncio.wait_for(caller.gone.wait(), PATIENCE)
            starter.end()
            remote.close()
            for end in lifeline:
                os.close(end)
    return turns


def report(turns: Mapping[str, Sequence[Turn]], console: Console) -> None:
    """Show medians over the turns."""
    table = Table()
    for column in ("worker", "p50, ms", "p99, ms", "batches/s", "CPU, us"):
        table.add_column(column, justify="right")
    for name, all_turns in turns.items():
        times = sorted(time for turn in all_turns for time in turn.times)
        table.add_row(
            name,
            f"{statistics.median(turn.p50 for turn in all_turns):.3f}",
            f"{times[int(len(times) * 0.99)] * 1000:.3f}",
            f"{statistics.median(len(turn.times) / turn.seconds for turn in all_turns):.0f}",
            f"{statistics.median(turn.used / len(turn.times) for turn in all_turns) * 1e6:.0f}",
        )
    console.print(table)
    pairs = list(zip(turns["local"], turns["remote"], strict=True))
    added = [there.p50 - here.p50 for here, there in pairs]
    rates = [here.seconds / there.seconds for here, there in pairs]
    console.print(
        f"The node adds {statistics.median(added):.3f} ms at p50 (turns: {min(added):.3f} to "
        f"{max(added):.3f}); {100 * statistics.median(rates):.0f} % of the local worker's rate."
    )


def main() -> None:
    """Run the comparison; see the module."""
    parser = argparse.ArgumentParser(prog="python -m bench.remote", description=__doc__)
    parser.add_argument("--handler", default="noop", help="of bench/handlers")
    parser.add_argument("--size", type=int, default=100, help="bytes of a body")
    parser.add_argument("--batches", type=int, default=1000, help="of each turn")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--under-way", type=int, default=1, help="batches on their way at a time")
    parser.add_argument("--host", default="127.0.0.1", help="this machine's address, as the node sees it")
    parser.add_argument("--prefix", default="", help="words before the agent's command")
    arguments = parser.parse_args()
    loop = asyncio.new_event_loop()
    reactor = AsyncioSelectorReactor(loop)
    report(loop.run_until_complete(compare(arguments, reactor)), Console())
    loop.close()


if __name__ == "__main__":
    main()
