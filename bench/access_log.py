"""
``python -m bench.access_log``: what the access log costs, in CPU time of the server process for each request.

While a load runs, the log is off and on in turns of a quarter of a second in the same process
(``bench.access_switch``); what is compared are the sums of all turns.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import attrs
from attrs import define, frozen
from rich.console import Console

from bench.load import Load, put
from bench.selection import add_arguments, own_server
from bench.servers import ModelServer
from bench.sheet import Sheet, describe_machine, write_json, write_markdown
from bench.target import Deployment


@frozen
class Sums:
    """Requests, and CPU seconds of the server process for them, with the access log off and on."""

    requests: tuple[int, int]
    seconds: tuple[float, float]

    def since(self, before: Sums) -> Sums:
        """What came to it."""
        return Sums(
            (self.requests[0] - before.requests[0], self.requests[1] - before.requests[1]),
            (self.seconds[0] - before.seconds[0], self.seconds[1] - before.seconds[1]),
        )

    @property
    def each(self) -> tuple[float, float]:
        """CPU seconds of a request, off and on; 0 where there was none."""
        off, on = (
            spent / count if count else 0.0 for spent, count in zip(self.seconds, self.requests, strict=True)
        )
        return off, on

    @property
    def cost(self) -> float:
        """How much more a request takes with it: 0.05 is 5 %."""
        off, on = self.each
        return on / off - 1 if off else 0.0


@define
class Switched(ModelServer):
    """The server of this checkout, with its access log off and on in turns."""

    @property
    def sums_file(self) -> Path:
        """Where the sums are."""
        return self.folder / "sums.json"

    def command(self) -> list[str]:
        """The server's, with the switch put in before it starts."""
        python, flag, start, *rest = ModelServer.command(self)
        install = f"import bench.access_switch as s; s.install(s.Path({str(self.sums_file)!r})); "
        return [python, flag, install + start, *rest]

    def sums(self) -> Sums:
        """The sums of all turns so far."""
        told = json.loads(self.sums_file.read_text("ascii"))
        return Sums(tuple(told["requests"]), tuple(told["seconds"]))


def measure(target: Switched, load: Load, rounds: int, client: str) -> list[Sums]:
    """What each of several loads came to."""
    found: list[Sums] = []
    for _ in range(rounds):
        before = target.sums()
        put(load, target.tree, client)
        found.append(target.sums().since(before))
    return found


def sheet(rounds: Sequence[Sums]) -> Sheet:
    """The table; its last row is of all rounds together."""
    nothing = Sums((0, 0), (0.0, 0.0))
    total = nothing
    for each in rounds:
        total = each.since(nothing.since(total))
    rows = [_row(str(number), each) for number, each in enumerate(rounds, 1)]
    columns = ("round", "requests off", "requests on", "CPU us/req off", "CPU us/req on", "cost")
    return Sheet("Access log, noop", columns, (*rows, _row("all", total)))


def _row(name: str, sums: Sums) -> tuple[str, ...]:
    off, on = sums.each
    counts = [f"{count:,}" for count in sums.requests]
    return (name, *counts, f"{off * 1e6:.1f}", f"{on * 1e6:.1f}", f"{100 * sums.cost:+.1f} %")


def main() -> None:
    """Measure what the access log costs."""
    parser = argparse.ArgumentParser(prog="python -m bench.access_log", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="loads, one after the other")
    parser.add_argument("--seconds", type=int, default=8, help="of each load")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--warm-up", type=int, default=5, help="seconds of load before all")
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
