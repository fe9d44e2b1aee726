"""
``python -m bench.access_log``: what the access log costs, switched off and on in turns in the same process.

The figure to trust on a machine that others use is the server process's CPU time for each request.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import attrs
import psutil
from attrs import define, frozen
from rich.console import Console

from bench.load import Figures, Load, put
from bench.processes import Tree
from bench.selection import add_arguments, own_server
from bench.servers import ModelServer
from bench.sheet import Sheet, describe_machine, write_json, write_markdown
from bench.target import Deployment

SWITCH = """
import signal
from modelserver.logs import AccessLog
note = AccessLog.record
def forget(self, *told): pass
def switch(number, frame): AccessLog.record = note if AccessLog.record is forget else forget
signal.signal(signal.SIGUSR2, switch)
"""
"""Has a server turn its access log off, and on again, at a signal."""


@define
class Switched(ModelServer):
    """The server of this checkout; its access log can be switched while it serves."""

    def command(self) -> list[str]:
        """The server's, with the switch put in before it starts."""
        python, flag, start, *rest = ModelServer.command(self)
        return [python, flag, SWITCH + start, *rest]

    def switch(self) -> None:
        """Turn the access log off, or on again."""
        os.kill(self.tree.pid, signal.SIGUSR2)


@frozen
class Root(Tree):
    """A process without its descendants."""

    def members(self) -> list[psutil.Process]:
        """The process itself."""
        return super().members()[:1]


@frozen
class Round:
    """One measurement without the access log, and one with it."""

    off: Figures
    on: Figures

    @property
    def cost(self) -> float:
        """How much more CPU time a request takes with it: 0.05 is 5 %."""
        return self.on.cpu / self.off.cpu - 1


def measure(target: Switched, load: Load, rounds: int, client: str) -> list[Round]:
    """Measure in turns; the access log is on before and after. Rounds without CPU time are left out."""
    found: list[Round] = []
    root = Root(target.tree.pid)
    for _ in range(rounds):
        target.switch()
        off = put(load, root, client)
        target.switch()
        on = put(load, root, client)
        if off.cpu and on.cpu:
            found.append(Round(off, on))
    return found


def sheet(rounds: Sequence[Round]) -> Sheet:
    """The table; its last row has the medians."""
    rows = [(str(number), *_cells([each])) for number, each in enumerate(rounds, 1)]
    columns = ("round", "CPU us/req off", "CPU us/req on", "cost", "req/s off", "req/s on", "errors")
    return Sheet("Access log, noop", columns, (*rows, ("median", *_cells(rounds))))


def _cells(rounds: Sequence[Round]) -> tuple[str, ...]:
    off, on = [each.off for each in rounds], [each.on for each in rounds]
    return (
        f"{statistics.median(each.cpu for each in off) * 1e6:.1f}",
        f"{statistics.median(each.cpu for each in on) * 1e6:.1f}",
        f"{100 * statistics.median(each.cost for each in rounds):+.1f} %",
        f"{statistics.median(each.rate for each in off):,.0f}",
        f"{statistics.median(each.rate for each in on):,.0f}",
        str(sum(each.errors for each in (*off, *on))),
    )


def main() -> None:
    """Measure what the access log costs."""
    parser = argparse.ArgumentParser(prog="python -m bench.access_log", description=__doc__)
    parser.add_argument("--rounds", type=int, default=8, help="pairs of measurements")
    parser.add_argument("--seconds", type=int, default=4, help="of each measurement")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--warm-up", type=int, default=8, help="seconds of load before all")
    add_arguments(parser)
    options = parser.parse_args()
    console = Console(width=160)
    console.print(describe_machine())
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        plain = own_server(options, Path(folder))
        target = Switched(plain.name, plain.folder, settings=plain.settings, options=plain.options)
        body = Path(folder) / "body"
        body.write_bytes(b"x" * 16)
        target.start()
        try:
            target.register(Deployment("noop", "noop"))
            load = Load(target.port, "/predictions/noop", body, options.connections, options.seconds)
            put(attrs.evolve(load, seconds=options.warm_up), target.tree, options.client)
            rounds = measure(target, load, options.rounds, options.client)
        finally:
            target.stop()
    found = sheet(rounds)
    found.show(console)
    if options.json:
        write_json(options.json, {"access_log": [attrs.asdict(each) for each in rounds]})
    if options.markdown:
        write_markdown(options.markdown, [found])


if __name__ == "__main__":
    main()
