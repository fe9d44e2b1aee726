"""
``python -m bench.dead_collector``: a server under load whose collector is down, or hangs, for a minute.

All requests are traced. Asked for: none fails, memory stays where it is, and the server ends within two
seconds. The exit status is 1 where one of it does not hold.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import psutil
from attrs import frozen
from rich.console import Console

from bench.collector import absent_collector, hanging_collector
from bench.load import Load, put
from bench.selection import add_arguments, own_server
from bench.servers import ModelServer
from bench.sheet import Sheet, describe_machine
from bench.target import Deployment, call

MODEL = "noop"
STEP = 5
"""Seconds of load between two looks at the memory; the first of them fill queues, and do not count."""
MEGABYTE = 1 << 20
MOST_GROWTH = 4 * MEGABYTE
LONGEST_END = 2.0
COLLECTORS: dict[str, Callable[[], AbstractContextManager[str]]] = {
    "refuses connections": absent_collector,
    "takes them and hangs": hanging_collector,
}


@frozen
class Outcome:
    """
    What a run has shown.

    :param memory: resident bytes of the server process, after each step.
    :param end: seconds from the request to end until the process was gone.
    :param spans: the server's own count of them, by outcome.
    """

    requests: int
    errors: int
    memory: tuple[int, ...]
    end: float
    spans: dict[str, int]

    @property
    def growth(self) -> int:
        """How many bytes the memory has grown after the first step."""
        return max(self.memory) - self.memory[0]

    @property
    def is_right(self) -> bool:
        """Whether it is as it must be; all spans must be lost, or the collector was none."""
        is_kept = self.growth <= MOST_GROWTH and self.end <= LONGEST_END
        return not self.errors and is_kept and not self.spans.get("sent") and self.spans.get("dropped", 0) > 0


def measure(server: ModelServer, body: Path, options: argparse.Namespace) -> Outcome:
    """Load a server, and end it while it is loaded for the last time."""
    server.start()
    try:
        server.register(Deployment(MODEL, MODEL))
        process = psutil.Process(server.tree.pid)
        load = Load(server.port, f"/predictions/{MODEL}", body, options.connections, STEP)
        memory, requests, errors = [], 0, 0
        for _ in range(max(2, options.seconds // STEP)):
            figures = put(load, server.tree, options.client)
            requests, errors = requests + figures.requests, errors + figures.errors
            memory.append(process.memory_info().rss)
        spans = _spans(server)
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        return Outcome(requests, errors, tuple(memory), time.monotonic() - begun, spans)
    finally:
        server.stop()


def _spans(server: ModelServer) -> dict[str, int]:
    """Return how many spans had which outcome."""
    _, text = call(server.metrics_port, "GET", "/metrics")
    found = {}
    for line in text.decode().splitlines():
        if line.startswith("modelserver_trace_spans_total{"):
            found[line.split('"')[1]] = int(float(line.rsplit(" ", 1)[1]))
    return found


def row(name: str, found: Outcome) -> tuple[str, ...]:
    """Return a line of the table."""
    spans = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(found.spans.items()))
    grown = " ".join(
        f"{size / MEGABYTE:.1f}" for size in (found.memory[0], max(found.memory), found.memory[-1])
    )
    ended = f"{found.end:.2f}"
    return (name, f"{found.requests:,}", str(found.errors), grown, ended, spans, str(found.is_right))


def main() -> None:
    """Run both, and show what was found."""
    parser = argparse.ArgumentParser(prog="python -m bench.dead_collector", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="of load, with each collector")
    parser.add_argument("--connections", type=int, default=64)
    add_arguments(parser)
    options = parser.parse_args()
    console = Console(width=160)
    console.print(describe_machine())
    rows, is_right = [], True
    for name, collector in COLLECTORS.items():
        with ExitStack() as stack:
            temporary = tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True)
            folder = Path(stack.enter_context(temporary))
            server = own_server(options, folder)
            endpoint = stack.enter_context(collector())
            server.settings = {**server.settings, "otel_exporter_otlp_endpoint": endpoint}
            body = folder / "body"
            body.write_bytes(b"x" * 100)
            found = measure(server, body, options)
        rows.append(row(name, found))
        is_right = is_right and found.is_right
    columns = ("collector", "answered", "failed", "MB first, most, last", "end s", "spans", "as asked")
    Sheet(f"{options.seconds} s of load, all requests traced", columns, tuple(rows)).show(console)
    sys.exit(not is_right)


if __name__ == "__main__":
    main()
