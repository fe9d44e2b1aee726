"""
``python -m bench.viewers``: what open dashboards cost requests, on a server that has all the work it can do.

One server, loaded in short turns (``bench.turns``) with and without viewers; a third way, where nobody
watches either, shows what this machine can tell apart. Viewers are in a process of their own and come and go
before and after a turn: the first thing that they get is the whole state. CPU time is that of the server's
tree; the rate is also less for what the viewers themselves take of the machine's processors.
"""

from __future__ import annotations

import argparse
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import attrs
from attrs import frozen
from rich.console import Console

from bench.load import Load
from bench.resting_client import RestingClient
from bench.selection import add_arguments, own_server
from bench.servers import CHECKOUT
from bench.sheet import describe_machine, write_json, write_markdown
from bench.target import HOST, Deployment
from bench.turns import FOREIGN, Comparison, Turns, Way, sheets

MODEL = "noop"
SETTLING = 0.3
"""Seconds between the coming of viewers and a turn, and the same where nobody comes."""


@frozen
class Viewers:
    """A process that has viewers while it is told to, which read what comes and throw it away."""

    child: subprocess.Popen[str]

    @contextmanager
    def watching(self, count: int) -> Iterator[None]:
        """
        Have so many viewers.

        :raises RuntimeError: they were not let in.
        """
        self._have(count)
        time.sleep(SETTLING)
        try:
            yield
        finally:
            self._have(0)

    def _have(self, count: int) -> None:
        assert self.child.stdin is not None and self.child.stdout is not None, "they are pipes"
        self.child.stdin.write(f"{count}\n")
        self.child.stdin.flush()
        if self.child.stdout.readline() != f"{count}\n":
            raise RuntimeError(f"{count} viewers were not let in")


@contextmanager
def viewers(port: int) -> Iterator[Viewers]:
    """Run the viewers' process for a management port."""
    words = [sys.executable, "-m", "bench.viewers", "--watch", str(port)]
    pipe = subprocess.PIPE
    child = subprocess.Popen(words, stdin=pipe, stdout=pipe, cwd=CHECKOUT, text=True)
    try:
        yield Viewers(child)
    finally:
        child.terminate()
        child.communicate(timeout=10)


def watch(port: int) -> None:
    """Be as many viewers as the last line of standard input says, until this process is ended."""
    selector = selectors.DefaultSelector()
    selector.register(sys.stdin, selectors.EVENT_READ, "words")
    here: list[socket.socket] = []
    while True:
        for key, _ in selector.select():
            if key.data == "words":
                count = int(sys.stdin.readline())
                while len(here) > count:
                    leaving = here.pop()
                    selector.unregister(leaving)
                    leaving.close()
                while len(here) < count:
                    here.append(come(port))
                    selector.register(here[-1], selectors.EVENT_READ)
                print(count, flush=True)
                continue
            viewer = key.fileobj
            assert isinstance(viewer, socket.socket), "all others are"
            if viewer in here and not viewer.recv(1 << 20):
                raise SystemExit("The server has closed a stream.")


def come(port: int) -> socket.socket:
    """Open a stream, and read the beginning of the first event."""
    viewer = socket.create_connection((HOST, port), timeout=10)
    viewer.sendall(b"GET /dashboard/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
    received = b""
    while b"event:" not in received:
        more = viewer.recv(1 << 20)
        received += more
        if not more or not received.startswith(b"HTTP/1.1 200"[: len(received)]):
            raise SystemExit(f"not let in: {received[:100]!r}")
    return viewer


def measure(options: argparse.Namespace, folder: Path) -> Comparison:
    """Start the server, and load it in turn with and without viewers."""
    body = folder / "body"
    body.write_bytes(b"x" * 100)
    server = own_server(options, folder)
    with ExitStack() as stack:
        server.start()
        stack.callback(server.stop)
        for number in range(options.models):
            server.register(Deployment(f"{MODEL}{number}", MODEL, workers=int(number == 0)))
        come_and_go = stack.enter_context(viewers(server.management_port)).watching
        client = RestingClient(Load(server.port, f"/predictions/{MODEL}0", body, options.connections, 1))
        nobody, some = partial(come_and_go, 0), partial(come_and_go, options.viewers)
        ways = [
            Way("nobody watches", client, server.tree, nobody),
            Way(f"{options.viewers} viewers", client, server.tree, some),
            Way("nobody, the control", client, server.tree, nobody),
        ]
        return Turns(ways, options.seconds, options.foreign, counts_rest=False).take(options.cycles)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.viewers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="each with a server that is started anew")
    parser.add_argument("--cycles", type=int, default=12, help="two turns each way, in each round")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each turn; an event comes each second")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--viewers", type=int, default=5)
    parser.add_argument("--foreign", type=float, default=FOREIGN, help="share that others may use")
    parser.add_argument("--models", type=int, default=1, help="that are registered; one of them is asked")
    parser.add_argument("--watch", type=int, metavar="PORT", help="be viewers of this port, and nothing else")
    add_arguments(parser)
    return parser.parse_args()


def main() -> None:
    """Measure, and show what was found."""
    options = parse()
    if options.watch:
        watch(options.watch)
    console = Console(width=160)
    if shutil.which("wrk") is None:
        console.print("wrk is not installed: nothing was measured")
        return
    console.print(describe_machine())
    found = []
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name:
            found.append(measure(options, Path(name)))
    tables = sheets(f"What {options.viewers} viewers cost", found)
    for table in tables:
        table.show(console)
    if options.json:
        write_json(options.json, {"viewers": [attrs.asdict(each) for each in found]})
    if options.markdown:
        write_markdown(options.markdown, tables)


if __name__ == "__main__":
    main()
