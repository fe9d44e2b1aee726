"""
``python -m bench.against CHECKOUT``: what a request costs here, beside another checkout of this project.

Both servers are up, and loaded in turn in bursts of a second, the order changing with each round. What else
the machine does meets both alike: the ratios of rounds scatter less than figures do, and their medians least.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import attrs
from attrs import define, field, frozen
from rich.console import Console

from bench.load import Figures, Load, put
from bench.selection import add_arguments, own_server
from bench.servers import ModelServer
from bench.sheet import Sheet, describe_machine, write_json, write_markdown
from bench.target import Deployment, Target


@frozen
class Task:
    """What is asked, by how many clients: a handler of ``bench/handlers``, and the bytes of a body."""

    handler: str
    size: int
    connections: int


TASKS = (
    Task("noop", 100, 1),
    Task("noop", 100, 8),
    Task("noop", 100, 64),
    Task("noop", 100, 256),
    Task("echo", 100_000, 8),
    Task("echo", 1_000_000, 8),
)


@frozen
class Round:
    """A burst on each of the two servers, one right behind the other."""

    other: Figures
    own: Figures

    @property
    def rate(self) -> float:
        """How many times as many requests were answered here."""
        return self.own.rate / self.other.rate if self.other.rate else 0.0

    @property
    def cpu(self) -> float:
        """How many times as much CPU time a request took here."""
        return self.own.cpu / self.other.cpu if self.other.cpu else 0.0


@frozen
class Comparison:
    """All rounds of one task."""

    task: Task
    rounds: Sequence[Round]

    @property
    def rate(self) -> float:
        """The median of the rounds' ratios of rates."""
        return statistics.median(each.rate for each in self.rounds)

    @property
    def cpu(self) -> float:
        """The median of the rounds' ratios of CPU time."""
        return statistics.median(each.cpu for each in self.rounds)

    @property
    def calm(self) -> float:
        """The ratio of CPU time in the quarter of bursts in which it was least, of each server."""
        own, other = (
            _least_quarter([getattr(each, side).cpu for each in self.rounds]) for side in ("own", "other")
        )
        return own / other if other else 0.0

    @property
    def errors(self) -> int:
        """Requests that failed, on both."""
        return sum(each.own.errors + each.other.errors for each in self.rounds)


def _least_quarter(values: Sequence[float]) -> float:
    return statistics.fmean(sorted(values)[: max(1, len(values) // 4)])


@define
class Checkout(ModelServer):
    """
    The server of another checkout, run by the interpreter that runs the bench.

    :param root: the folder that holds its package and twistd's plugin.
    """

    root: Path = field(kw_only=True)

    def environment(self) -> dict[str, str]:
        """That checkout comes first."""
        return {"PYTHONPATH": str(self.root)}


def measure(own: Target, other: Target, task: Task, body: Path, plan: Plan) -> Comparison:
    """Load both in turn."""
    path = f"/predictions/{task.handler}"
    loads = [
        Load(server.port, path, body, task.connections, plan.seconds, _length(task))
        for server in (own, other)
    ]
    for server, load in zip((own, other), loads, strict=True):
        put(attrs.evolve(load, seconds=plan.warm_up), server.tree, plan.client)
    rounds: list[Round] = []
    for number in range(plan.rounds):
        found: dict[int, Figures] = {}
        for place in (0, 1) if number % 2 else (1, 0):
            found[place] = put(loads[place], (own, other)[place].tree, plan.client)
        rounds.append(Round(other=found[1], own=found[0]))
    return Comparison(task, rounds)


@frozen
class Plan:
    """How often each task is done, and for how many seconds; ``client`` is one of ``bench.load.choose``."""

    rounds: int
    seconds: int
    warm_up: int
    client: str


def _length(task: Task) -> int | None:
    return task.size if task.handler == "echo" else None


def compare(
    own: ModelServer, other: ModelServer, tasks: Sequence[Task], folder: Path, plan: Plan
) -> Iterator[Comparison]:
    """Start both servers, and compare them task by task."""
    with ExitStack() as stack:
        for server in (own, other):
            server.start()
            stack.callback(server.stop)
            for handler in sorted({task.handler for task in tasks}):
                server.register(Deployment(handler, handler))
        for task in tasks:
            body = folder / f"body{task.size}"
            body.write_bytes(b"x" * task.size)
            yield measure(own, other, task, body, plan)


def sheet(found: Sequence[Comparison]) -> Sheet:
    """The table."""
    columns = (
        "handler",
        "bytes",
        "conn.",
        "CPU us/req",
        "there",
        "CPU ratio",
        "calmest",
        "rate ratio",
        "errors",
    )
    return Sheet("This checkout beside the other", columns, tuple(_row(each) for each in found))


def _row(found: Comparison) -> tuple[str, ...]:
    task = found.task
    own, other = (
        statistics.median(getattr(each, side).cpu for each in found.rounds) * 1e6 for side in ("own", "other")
    )
    ratios = (f"{ratio:.3f}" for ratio in (found.cpu, found.calm, found.rate))
    shown = (task.handler, f"{task.size:,}", str(task.connections), f"{own:.1f}", f"{other:.1f}")
    return (*shown, *ratios, str(found.errors))


def main() -> None:
    """Compare this checkout with another one."""
    parser = argparse.ArgumentParser(prog="python -m bench.against", description=__doc__)
    parser.add_argument("checkout", type=Path, help="the other one: a folder with modelserver/ and twisted/")
    parser.add_argument("--rounds", type=int, default=24, help="bursts on each server, for each task")
    parser.add_argument("--seconds", type=int, default=1, help="of each burst")
    parser.add_argument("--warm-up", type=int, default=3, help="seconds of load before each task")
    parser.add_argument("--handlers", default="noop,echo", help="noop: 100 bytes; echo: 100 kB and 1 MB")
    parser.add_argument("--connections", default="1,8,64", help="those of noop")
    add_arguments(parser)
    options = parser.parse_args()
    wanted = {int(count) for count in options.connections.split(",")}
    tasks = [
        task
        for task in TASKS
        if task.handler in options.handlers.split(",")
        and (task.handler != "noop" or task.connections in wanted)
    ]
    console = Console(width=160)
    console.print(describe_machine())
    plan = Plan(options.rounds, options.seconds, options.warm_up, options.client)
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        own = own_server(options, folder)
        other = Checkout(
            "other",
            folder / "other",
            settings=own.settings,
            options=own.options,
            root=options.checkout.resolve(),
        )
        found = list(compare(own, other, tasks, folder, plan))
    table = sheet(found)
    table.show(console)
    if options.json:
        write_json(options.json, {"against": [attrs.asdict(each) for each in found]})
    if options.markdown:
        write_markdown(options.markdown, [table])


if __name__ == "__main__":
    main()
