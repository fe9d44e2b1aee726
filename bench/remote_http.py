"""
``python -m bench.remote_http``: what a worker behind a node's agent costs a caller, beside one that is here.

One server has the same handler twice: with a worker of its own, and with one that an agent has started, which
is a program of this machine. One caller asks both in turn over HTTP, round by round, on one connection for
each; a request's time is from its first byte to the last one of its answer.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import define, evolve
from rich.console import Console

from bench.program_driver import NODES
from bench.servers import CHECKOUT, ModelServer
from bench.target import HOST, Deployment

WARM = 300
"""Requests before those that count."""
NODE = {"name": "node", "prefix": [], "address": HOST, "processors": 2, "environment": {}}


@define
class NodeServer(ModelServer):
    """The server of this checkout, whose cluster is one node: this machine."""

    def command(self) -> list[str]:
        """The same, started by the program that has another driver."""
        python, _, _, *rest = super().command()
        return [python, "-m", "bench.program_server", *rest]

    def environment(self) -> dict[str, str]:
        """The checkout comes first; the driver reads which nodes there are."""
        nodes = self.folder / "nodes.json"
        nodes.write_text(json.dumps({"host": HOST, "python": sys.executable, "nodes": [NODE]}))
        return {"PYTHONPATH": os.pathsep.join([str(CHECKOUT)]), NODES: str(nodes)}


class Caller:
    """One connection, and one request on it at a time."""

    def __init__(self, port: int, model: str, body: bytes) -> None:
        self._socket = socket.create_connection((HOST, port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = f"POST /predictions/{model} HTTP/1.1\r\nHost: bench\r\nContent-Length: {len(body)}\r\n\r\n"
        self._request = head.encode() + body

    def ask(self, count: int) -> list[float]:
        """
        Ask so often; return the times.

        :raises ConnectionError: an answer is not 200.
        """
        times = []
        for _ in range(count):
            began = time.perf_counter()
            self._socket.sendall(self._request)
            self._receive()
            times.append(time.perf_counter() - began)
        return times

    def _receive(self) -> None:
        received = self._socket.recv(1 << 18)
        while b"\r\n\r\n" not in received:
            received += self._more()
        head, _, body = received.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise ConnectionError(head.decode(errors="replace"))
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        left = int(fields[b"content-length"]) - len(body)
        while left > 0:
            left -= len(self._more())

    def _more(self) -> bytes:
        more = self._socket.recv(1 << 18)
        if not more:
            raise ConnectionError("the server has closed the connection")
        return more

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


def measure(server: NodeServer, arguments: argparse.Namespace) -> dict[str, list[list[float]]]:
    """Return the times of each turn, by where the worker is."""
    turns: dict[str, list[list[float]]] = {"local": [], "ray": []}
    deployment = Deployment("", arguments.handler)
    for where in turns:
        server.register(evolve(deployment, name=where, parameters=(("placement", where),)))
    callers = {where: Caller(server.port, where, b"x" * arguments.size) for where in turns}
    for caller in callers.values():
        caller.ask(WARM)
    for _ in range(arguments.rounds):
        for where, caller in callers.items():
            turns[where].append(caller.ask(arguments.requests))
    for caller in callers.values():
        caller.close()
    return turns


def report(turns: Mapping[str, Sequence[Sequence[float]]], console: Console) -> None:
    """Print medians, and what the node adds."""
    middles: dict[str, list[float]] = {}
    for where, all_turns in turns.items():
        middle = middles[where] = [statistics.median(times) * 1000 for times in all_turns]
        span = f"{min(middle):.3f} to {max(middle):.3f}"
        console.print(f"{where}: p50 {statistics.median(middle):.3f} ms ({span})")
    added = [there - here for here, there in zip(middles["local"], middles["ray"], strict=True)]
    console.print(
        f"The node adds {statistics.median(added):.3f} ms at p50 over HTTP "
        f"(turns: {min(added):.3f} to {max(added):.3f})."
    )


def main() -> None:
    """Run the comparison; see the module."""
    parser = argparse.ArgumentParser(prog="python -m bench.remote_http", description=__doc__)
    parser.add_argument("--handler", default="noop", help="of bench/handlers")
    parser.add_argument("--size", type=int, default=100, help="bytes of a body")
    parser.add_argument("--requests", type=int, default=500, help="of each turn")
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = NodeServer("modelserver", Path(folder), settings={"ray_address": "auto"})
        server.start()
        try:
            report(measure(server, arguments), Console())
        finally:
            server.stop()


if __name__ == "__main__":
    main()
