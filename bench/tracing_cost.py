"""
``python -m bench.tracing_cost``: what traces cost a request, off, on without a sampled request, and with 1 %.

In each round all three servers are started anew, and loaded in turn. A collector beside them takes the spans.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import attrs
from rich.console import Console

from bench.collector import collector
from bench.load import Load
from bench.selection import add_arguments, own_server
from bench.servers import ModelServer
from bench.sheet import Sheet, describe_machine, write_json, write_markdown
from bench.target import Deployment
from bench.turns import COLUMNS, Round, Way, rows, take_turns

MODEL = "noop"
BODY = 100


def ways_of(share: float) -> dict[str, dict[str, object]]:
    """Return what the servers that are compared are told, by their names."""
    return {
        "off": {"tracing": "false"},
        "on, none sampled": {"otel_traces_sampler": "traceidratio", "otel_traces_sampler_arg": 0},
        f"on, {share:.0%} sampled": {
            "otel_traces_sampler": "traceidratio",
            "otel_traces_sampler_arg": share,
        },
    }


def measure(options: argparse.Namespace, folder: Path, endpoint: str) -> Round:
    """Start the servers, and load them in turn."""
    body = folder / "body"
    body.write_bytes(b"x" * BODY)
    path = f"/predictions/{MODEL}"
    plain = own_server(options, folder)
    ways = []
    with ExitStack() as stack:
        for number, (name, settings) in enumerate(ways_of(options.share).items()):
            server = ModelServer(
                name,
                folder / str(number),
                settings={**plain.settings, "otel_exporter_otlp_endpoint": endpoint, **settings},
                options=plain.options,
            )
            server.start()
            stack.callback(server.stop)
            server.register(Deployment(MODEL, MODEL, batch_size=options.batch, max_batch_delay=0.002))
            load = Load(server.port, path, body, options.connections, options.seconds)
            ways.append(Way(name, load, server.tree))
        return take_turns(ways, options.turns, options.warm_up, options.client)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.tracing_cost", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--turns", type=int, default=8, help="bursts on each server, in each round")
    parser.add_argument("--seconds", type=int, default=1, help="of each burst")
    parser.add_argument("--warm-up", type=int, default=2, help="seconds of load before all, on each server")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--share", type=float, default=0.01, help="of the requests, of the third server")
    parser.add_argument("--batch", type=int, default=1, help="batch_size of the model")
    add_arguments(parser)
    return parser.parse_args()


def run(options: argparse.Namespace, say: Callable[[str], None]) -> list[Round]:
    """Do all rounds."""
    found = []
    with collector() as endpoint:
        for number in range(options.rounds):
            with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name:
                found.append(measure(options, Path(name), endpoint))
            last = found[-1]
            told = (f"{each}: {last.cpu_ratio(each):.3f}" for each in last.bursts)
            say(f"round {number + 1}: CPU a request, {', '.join(told)}")
    return found


def main() -> None:
    """Measure, and show what was found."""
    options = parse()
    console = Console(width=160)
    console.print(describe_machine())
    found = run(options, console.print)
    table = Sheet("What traces cost a request", COLUMNS, rows(found))
    table.show(console)
    if options.json:
        write_json(options.json, {"tracing": [attrs.asdict(each) for each in found]})
    if options.markdown:
        write_markdown(options.markdown, [table])


if __name__ == "__main__":
    main()
