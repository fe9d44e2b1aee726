"""
``python -m bench.viewers``: what open dashboards cost requests, on a server that has all the work it can do.

One server, with and without viewers in turn: bursts of load, the order changing with each. Without them, a
process that watches nothing waits as long before a burst as they do: after a pause, a burst is a bit slower.
"""

from __future__ import annotations

import argparse
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import attrs
from rich.console import Console

from bench.load import Load
from bench.selection import add_arguments, own_server
from bench.servers import CHECKOUT
from bench.sheet import Sheet, describe_machine, write_json, write_markdown
from bench.target import HOST, Deployment
from bench.turns import COLUMNS, Round, Way, rows, take_turns

MODEL = "noop"
SETTLING = 2.5
"""Seconds that viewers watch before a burst: the first thing that they get is the whole state."""


@contextmanager
def watching(port: int, count: int) -> Iterator[None]:
    """
    Have so many viewers in a process of their own, which read what comes and throw it away.

    :raises RuntimeError: they were not let in.
    """
    words = [sys.executable, "-m", "bench.viewers", "--watch", str(port), "--viewers", str(count)]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, cwd=CHECKOUT, text=True)
    assert child.stdout is not None, "it is a pipe"
    try:
        if child.stdout.readline().strip() != "watching":
            raise RuntimeError(f"{count} viewers were not let in")
        yield
    finally:
        child.terminate()
        child.wait(10)
        child.stdout.close()


def watch(port: int, count: int) -> None:
    """Be so many viewers until this process is ended; says so when all of them watch for a while."""
    selector = selectors.DefaultSelector()
    for _ in range(count):
        viewer = socket.create_connection((HOST, port))
        viewer.sendall(b"GET /dashboard/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        selector.register(viewer, selectors.EVENT_READ, bytearray())
    begun, is_said = time.monotonic(), False
    while True:
        for key, _ in selector.select(0.1):
            received = key.fileobj.recv(1 << 20)  # type: ignore[union-attr]  # all of them are sockets
            key.data.extend(received[: 64 - len(key.data)])
            if not received or not key.data.startswith(b"HTTP/1.1 200"[: len(key.data)]):
                raise SystemExit(f"not let in: {bytes(key.data)!r}")
        if not is_said and time.monotonic() - begun > SETTLING:
            print("watching", flush=True)
            is_said = True


def measure(options: argparse.Namespace, folder: Path) -> Round:
    """Start the server, and load it in turn with and without viewers."""
    body = folder / "body"
    body.write_bytes(b"x" * 100)
    server = own_server(options, folder)
    server.start()
    try:
        for number in range(options.models):
            server.register(Deployment(f"{MODEL}{number}", MODEL, workers=int(number == 0)))
        load = Load(server.port, f"/predictions/{MODEL}0", body, options.connections, options.seconds)
        viewers = partial(watching, server.management_port)
        ways = [
            Way("nobody watches", load, server.tree, partial(viewers, 0)),
            Way(f"{options.viewers} viewers", load, server.tree, partial(viewers, options.viewers)),
        ]
        return take_turns(ways, options.turns, options.warm_up, options.client)
    finally:
        server.stop()


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.viewers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--turns", type=int, default=4, help="bursts each way, in each round")
    parser.add_argument("--seconds", type=int, default=3, help="of each burst")
    parser.add_argument("--warm-up", type=int, default=2, help="seconds of load before all")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--viewers", type=int, default=5)
    parser.add_argument("--models", type=int, default=1, help="that are registered; one of them is asked")
    parser.add_argument("--watch", type=int, metavar="PORT", help="be viewers of this port, and nothing else")
    add_arguments(parser)
    return parser.parse_args()


def main() -> None:
    """Measure, and show what was found."""
    options = parse()
    if options.watch:
        watch(options.watch, options.viewers)
    console = Console(width=160)
    console.print(describe_machine())
    found = []
    for number in range(options.rounds):
        with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name:
            found.append(measure(options, Path(name)))
        last = list(found[-1].bursts)[-1]
        cpu, rate = found[-1].cpu_ratio(last), found[-1].rate_ratio(last)
        console.print(f"round {number + 1}: CPU {cpu:.3f}, rate {rate:.3f}")
    table = Sheet(f"What {options.viewers} viewers cost", COLUMNS, rows(found))
    table.show(console)
    if options.json:
        write_json(options.json, {"viewers": [attrs.asdict(each) for each in found]})
    if options.markdown:
        write_markdown(options.markdown, [table])


if __name__ == "__main__":
    main()
