"""What is measured: each case is a handler, a body and the numbers of workers and connections to try."""

from __future__ import annotations

from pathlib import Path

from attrs import field, frozen

from bench.handlers.cnn import IMAGE_BYTES
from bench.handlers.wait import SECONDS as WAIT_SECONDS


@frozen
class Point:
    """One measurement of a case."""

    workers: int
    connections: int


@frozen
class Case:
    """
    A handler under a kind of load.

    :param handler: the file in ``bench/handlers``; empty for ``/ping``.
    :param body: bytes that each request carries, 0 for a GET.
    :param length: bytes that each answer must carry, None where it varies.
    :param max_batch_delay: seconds.
    :param batch_seconds: what the handler takes for a batch at least, 0 where it is for ``limits`` to say.
    :param computes: the handler takes a time that a bare loop can show.
    :param every: all connections ask at once, every so many seconds; 0: each again at once.
    :param slow_every: of such requests, one in so many is a slow one; 0: none.
    """

    name: str
    title: str
    handler: str
    points: tuple[Point, ...]
    body: int = 0
    length: int | None = None
    batch_size: int = 1
    max_batch_delay: float = field(default=0.1)
    batch_seconds: float = 0.0
    computes: bool = False
    every: float = 0.0
    slow_every: int = 0

    def ideal(self, workers: int) -> float:
        """Requests per second that so many workers could answer if they never waited; 0 where unknown."""
        return workers * self.batch_size / self.batch_seconds if self.batch_seconds else 0.0

    def write_body(self, folder: Path) -> Path | None:
        """The request body as a file, None for a GET."""
        if not self.body:
            return None
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"body-{self.body}"
        if not path.exists():
            # Valid float32 images and no compressible constant: a counter of bytes.
            path.write_bytes((bytes(range(64)) * (self.body // 64 + 1))[: self.body])
        return path


def points(workers: tuple[int, ...], connections: tuple[int, ...]) -> tuple[Point, ...]:
    """Every number of workers with every number of connections."""
    return tuple(Point(some, many) for some in workers for many in connections)


def _waiting(batch_size: int) -> Case:
    return Case(
        f"wait{batch_size}",
        f"10 ms handler, batch size {batch_size}",
        "wait",
        points((1, 2), (64,)),
        body=100,
        length=2,
        batch_size=batch_size,
        max_batch_delay=0.01,
        batch_seconds=WAIT_SECONDS,
        computes=True,
    )


def _network(batch_size: int) -> Case:
    return Case(
        f"cnn{batch_size}",
        f"small CNN, batch size {batch_size}",
        "cnn",
        points((1,), (8, 64)),
        body=IMAGE_BYTES,
        length=1,
        batch_size=batch_size,
        max_batch_delay=0.01,
        computes=True,
    )


def _bursts(name: str, title: str, slow_every: int) -> Case:
    handler = "mixed"
    return Case(
        name, title, handler, points((2,), (64,)), body=100, length=2, every=0.15, slow_every=slow_every
    )


CASES = (
    Case("ping", "GET /ping", "", points((0,), (1, 64)), length=None),
    Case("noop", "noop, 100 B", "noop", points((1, 2), (1, 8, 64, 256)), body=100, length=2),
    _bursts("fast", "64 noops at once, every 150 ms", 0),
    _bursts("mixed", "the same, 1 % take 100 ms: times of the others", 100),
    Case("echo100k", "echo 100 kB", "echo", points((1,), (1, 8, 64)), body=100_000, length=100_000),
    Case("echo1m", "echo 1 MB", "echo", points((1,), (1, 8, 32)), body=1_000_000, length=1_000_000),
    Case("echo10m", "echo 10 MB", "echo", points((1,), (1, 8)), body=10_000_000, length=10_000_000),
    _waiting(1),
    _waiting(8),
    _waiting(32),
    _network(1),
    _network(8),
)

QUICK = {
    "ping": points((0,), (64,)),
    "noop": points((1,), (1, 64)),
    "fast": points((2,), (64,)),
    "mixed": points((2,), (64,)),
    "echo100k": points((1,), (8,)),
    "echo1m": points((1,), (8,)),
    "echo10m": points((1,), (8,)),
    "wait1": points((1,), (64,)),
    "wait8": points((1,), (64,)),
    "wait32": points((1,), (64,)),
    "cnn1": points((1,), (64,)),
    "cnn8": points((1,), (64,)),
}
