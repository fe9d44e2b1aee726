"""
A collector of traces that keeps nothing: what a server sends is taken, or left without an answer.

It runs in a process of its own, so that it costs the measured server nothing but the sending.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from bench.servers import CHECKOUT
from bench.target import HOST


class Taking(BaseHTTPRequestHandler):
    """Answers each request that it has them."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Take spans."""
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@contextmanager
def collector() -> Iterator[str]:
    """Run a collector beside this process; its URL."""
    child = subprocess.Popen(
        [sys.executable, "-m", "bench.collector"], stdout=subprocess.PIPE, cwd=CHECKOUT, text=True
    )
    try:
        assert child.stdout is not None
        yield child.stdout.readline().strip()
    finally:
        child.terminate()
        child.wait(10)


@contextmanager
def hanging_collector() -> Iterator[str]:
    """Have a listener whose connections come about, and are never read or answered; its URL."""
    with socket.create_server((HOST, 0), backlog=4096) as listener:
        yield f"http://{HOST}:{listener.getsockname()[1]}"


@contextmanager
def absent_collector() -> Iterator[str]:
    """Have a port that refuses connections for as long as this lasts; its URL."""
    with socket.socket() as bound:
        bound.bind((HOST, 0))
        yield f"http://{HOST}:{bound.getsockname()[1]}"


def main() -> None:
    """Take spans until the process is ended."""
    argparse.ArgumentParser(prog="python -m bench.collector", description=__doc__).parse_args()
    server = ThreadingHTTPServer((HOST, 0), Taking)
    server.daemon_threads = True
    print(f"http://{HOST}:{server.server_port}", flush=True)
    with suppress(KeyboardInterrupt):
        server.serve_forever()


if __name__ == "__main__":
    main()
