"""
``python -m bench.rpc.leaving``: what stays of gRPC clients that leave early, and of calls whose time is over.

Streams are cancelled at random moments; calls wait behind a slow one until their deadlines pass. After each
round the server's memory is read, and in the end its counters: nothing may wait or be in a worker's hand, no
worker may have ended, and calls whose time was over may not have reached the handler.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import re
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import psutil
from attrs import define, field

os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
import grpc

from bench.rpc.messages import SERVICE, request
from bench.servers import ModelServer
from bench.target import Deployment, call

STREAMED, NAPPING = "parts", "naps"
AT_ONCE = 20
"""Streams at a time."""
CROWD = 1000
"""Calls that wait behind one that naps."""
CONNECTIONS = 10
"""Which take a hundred calls at a time each."""
NAP = 2.0
LONGEST = 60.0
METHOD = f"/{SERVICE}/Predictions"
ROUNDS = 3
"""The first one warms the server up."""
SETTLING = 2.0
MEGABYTE = 1 << 20


@define
class Leaving:
    """
    Clients of one server.

    :param ended: how calls ended.
    """

    port: int
    ended: Counter[str] = field(factory=Counter)
    _random: random.Random = field(factory=lambda: random.Random(14))

    async def streams(self, count: int) -> None:
        """Begin so many streams, and cancel each before it begins, in it, or behind it."""
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            ask = channel.unary_stream(f"/{SERVICE}/StreamPredictions")
            left = iter(range(count))

            async def some() -> None:
                for _ in left:
                    await self._leave(ask(request(STREAMED, b"x"), timeout=LONGEST))

            await asyncio.gather(*(some() for _ in range(AT_ONCE)))

    async def _leave(self, stream: grpc.aio.UnaryStreamCall) -> None:
        parts = 0
        try:
            if self._random.random() < 0.3:
                await asyncio.sleep(self._random.random() * 0.01)
            else:
                for _ in range(self._random.choice((1, 2, 5, 20, 99, 100))):
                    parts += await stream.read() is not grpc.aio.EOF
        except grpc.aio.AioRpcError as error:
            self.ended[error.code().name] += 1
            return
        stream.cancel()
        self.ended["left"] += 1

    async def late(self, count: int) -> None:
        """Let so many calls wait until their time is over, in crowds behind a call that naps."""
        async with AsyncExitStack() as stack:
            asks = []
            for number in range(CONNECTIONS):
                # Channels to one address share a connection unless they differ in something.
                options = [("bench.number", number)]
                channel = grpc.aio.insecure_channel(f"127.0.0.1:{self.port}", options=options)
                asks.append((await stack.enter_async_context(channel)).unary_unary(METHOD))
            for _ in range(0, count, CROWD):
                nap = asks[0](request(NAPPING, b"%f" % NAP), timeout=LONGEST)
                await asyncio.sleep(0.05)
                crowd = range(min(CROWD, count))
                await asyncio.gather(*(self._wait(asks[number % CONNECTIONS]) for number in crowd))
                await nap

    async def _wait(self, ask: Callable[..., Awaitable[bytes]]) -> None:
        try:
            await ask(request(NAPPING, b"0"), timeout=0.1 + self._random.random() * 0.3)
        except grpc.aio.AioRpcError as error:
            self.ended[error.code().name] += 1
        else:
            self.ended["answered"] += 1


def counted(metrics: str, name: str, model: str = "") -> float:
    """The sum of a metric's samples, or of those of one model."""
    found = re.findall(rf"^{name}\{{(.*)\}} (.*)$", metrics, re.MULTILINE)
    return sum(float(value) for labels, value in found if f'model="{model}"' in labels or not model)


async def run(target: ModelServer, count: int, say: Callable[[str], None]) -> None:
    """Leave and wait, and tell what is left of it."""
    server = psutil.Process(target.tree.pid)
    clients = Leaving(target.rpc_port)
    kinds: Sequence[tuple[str, Callable[[int], Awaitable[None]]]] = (
        ("streams that were left", clients.streams),
        ("calls whose time was over", clients.late),
    )
    for what, act in kinds:
        sizes = []
        for number in range(ROUNDS):
            await act(count if number else max(CROWD, count // 5))
            await asyncio.sleep(SETTLING)
            sizes.append(server.memory_info().rss / MEGABYTE)
        shown = " -> ".join(f"{size:.1f}" for size in sizes)
        say(f"{count} {what}: {shown} MB, last round {sizes[-1] - sizes[-2]:+.2f} MB; {dict(clients.ended)}")
        clients.ended.clear()
    metrics = call(target.metrics_port, "GET", "/metrics")[1].decode()
    for name in ("queue_depth", "in_flight_requests", "worker_restarts_total"):
        say(f"modelserver_{name}: {counted(metrics, f'modelserver_{name}'):g}")
    naps = -(-max(CROWD, count // 5) // CROWD) + (ROUNDS - 1) * -(-count // CROWD)
    handled = counted(metrics, "modelserver_batch_size_sum", NAPPING)
    say(f"the handler had {handled:g} calls of {NAPPING}; {naps} of them napped")


def main() -> None:
    """Start a server, and leave it again and again."""
    parser = argparse.ArgumentParser(prog="python -m bench.rpc.leaving", description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000, help="of each kind and round")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="leaving-", ignore_cleanup_errors=True) as folder:
        target = ModelServer(
            "modelserver",
            Path(folder) / "modelserver",
            settings={"metrics_mode": "prometheus", "job_queue_size": 2 * CROWD},
            has_rpc=True,
        )
        target.start()
        try:
            for model in (STREAMED, NAPPING):
                target.register(Deployment(model, model))
            asyncio.run(run(target, options.calls, lambda line: print(line, flush=True)))
        finally:
            target.stop()


if __name__ == "__main__":
    main()
