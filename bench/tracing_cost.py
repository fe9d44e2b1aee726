"""
``python -m bench.tracing_cost``: what traces cost a request, off, on without a sampled request, and with 1 %.

All servers are up at once and loaded in short turns (``bench.turns``); one more without traces, which does
not differ from the first, shows what this machine can tell apart. A collector beside them takes the spans.
CPU time is that of a server's whole tree, also while it rests: spans leave late.

A server differs from the same one started again by about two per cent, which no number of turns shows. So
there are many starts, with few turns each; the servers of a start share the seed of their hashes, and are
started in another order each time. What is told is the mean of starts (without the highest and the lowest
tenth), and its bounds by starts. The others are compared with both servers without traces together, which
scatters no more, and mostly less, than with one of them. Each way begins a cycle in turn: one that always
does has every second turn right behind one of its own, with all that it needs in the processor's caches, and
others never have (2 % by the median of cycles).

Turns are short since what a request costs here scatters by a sixth within seconds: at equal time, starts
scatter the more the longer the turns are (0.06 to 2 seconds: ``docs/tracing.md`` has the figures), and what
traces cost does not grow or shrink with that. So code that runs seldom is not so much colder in short turns
that it could be seen. ``--seconds`` has others.

Requests have no ``traceparent`` unless ``--parents`` is given: then each has another one, the servers follow
what their clients have decided, and these record the same share. A line that differs each time costs a
server without traces, too, since it reads each head anew.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

import attrs
from rich.console import Console

from bench.collector import collector
from bench.load import Load
from bench.resting_client import RestingClient
from bench.selection import add_arguments, own_server
from bench.servers import ModelServer
from bench.sheet import describe_machine, write_json, write_markdown
from bench.target import Deployment
from bench.turns import FOREIGN, Comparison, Turns, Way, sheets_of_starts

MODEL = "noop"
BODY = 100
CONTROL = "off, the control"
NEVER = 1e-12
"""A share of which nothing is sampled in any run, and which no server can take for none at all."""


def ways_of(share: float) -> dict[str, tuple[float, dict[str, object]]]:
    """Return the share that is sampled, and what the servers that are compared are told, by their names."""
    off: dict[str, object] = {"tracing": "false"}
    return {
        "off": (0.0, off),
        "on, none sampled": (0.0, _sampling(NEVER)),
        f"on, {share:.0%} sampled": (share, _sampling(share)),
        CONTROL: (0.0, off),
    }


def _sampling(share: float) -> dict[str, object]:
    return {"otel_traces_sampler": "parentbased_traceidratio", "otel_traces_sampler_arg": share}


def measure(options: argparse.Namespace, folder: Path, endpoint: str) -> Comparison:
    """Start the servers, and load them in turn."""
    body = folder / "body"
    body.write_bytes(b"x" * BODY)
    plain = own_server(options, folder)
    ways = []
    with ExitStack() as stack:
        wanted = list(ways_of(options.share).items())
        seed = str(random.getrandbits(32))
        for number in random.sample(range(len(wanted)), len(wanted)):
            name, (share, settings) = wanted[number]
            server = ModelServer(
                name,
                folder / str(number),
                settings={**plain.settings, "otel_exporter_otlp_endpoint": endpoint, **settings},
                options=plain.options,
                variables={"PYTHONHASHSEED": seed},
            )
            server.start()
            stack.callback(server.stop)
            server.register(Deployment(MODEL, MODEL, batch_size=options.batch, max_batch_delay=0.002))
            load = Load(
                server.port,
                f"/predictions/{MODEL}",
                body,
                options.connections,
                1,
                recorded=share if options.parents else None,
            )
            ways.append((number, Way(name, RestingClient(load), server.tree)))
        in_order = [way for _, way in sorted(ways, key=lambda each: each[0])]
        turns = Turns(in_order, options.seconds, options.foreign, rotates=True, control=CONTROL)
        return turns.take(options.cycles)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.tracing_cost", description=__doc__)
    parser.add_argument("--rounds", type=int, default=12, help="each with servers that are started anew")
    parser.add_argument("--cycles", type=int, default=32, help="two turns of each server, in each round")
    parser.add_argument("--seconds", type=float, default=0.06, help="of each turn")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--foreign", type=float, default=FOREIGN, help="share that others may use")
    parser.add_argument("--share", type=float, default=0.01, help="of the requests, of the third server")
    parser.add_argument("--parents", action="store_true", help="each request has a traceparent of its own")
    parser.add_argument("--batch", type=int, default=1, help="batch_size of the model")
    add_arguments(parser)
    return parser.parse_args()


def main() -> None:
    """Measure, and show what was found."""
    options = parse()
    console = Console(width=160)
    if shutil.which("wrk") is None:
        console.print("wrk is not installed: nothing was measured")
        return
    console.print(describe_machine())
    found = []
    with collector() as endpoint:
        for _ in range(options.rounds):
            with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name:
                found.append(measure(options, Path(name), endpoint))
    tables = sheets_of_starts("What traces cost a request", found)
    for table in tables:
        table.show(console)
    if options.json:
        write_json(options.json, {"tracing": [attrs.asdict(each) for each in found]})
    if options.markdown:
        write_markdown(options.markdown, tables)


if __name__ == "__main__":
    main()
