"""What is measured over gRPC: a handler, a method, a body, and how many calls are in flight."""

from __future__ import annotations

from attrs import frozen

from bench.rpc.messages import answer, framed

PARTS, PART = 100, b"x" * 100
"""The parts of a streamed answer."""


@frozen
class RpcCase:
    """
    Calls of one kind.

    :param handler: the file in ``bench/handlers``, and the model's name.
    :param body: bytes of the input.
    :param in_flight: calls at a time, on one connection.
    :param answers: what the handler answers, message by message; None: the input.
    """

    name: str
    title: str
    handler: str
    body: int
    in_flight: tuple[int, ...]
    answers: tuple[bytes, ...] | None = (b"OK",)

    @property
    def method(self) -> str:
        """The method that is called."""
        return "Predictions" if self.answers is None or len(self.answers) == 1 else "StreamPredictions"

    def input(self) -> bytes:
        """The input of every call: no constant that compresses to nothing."""
        return (bytes(range(64)) * (self.body // 64 + 1))[: self.body]

    def expected(self) -> tuple[bytes, ...]:
        """The messages of a right answer."""
        return tuple(answer(each) for each in self.answers or (self.input(),))

    @property
    def answer_bytes(self) -> int:
        """Bytes of DATA that a right answer has."""
        return sum(len(framed(each)) for each in self.expected())


RPC_CASES = (
    RpcCase("noop", "noop, 100 B", "noop", 100, (1, 16, 64)),
    RpcCase("echo100k", "echo 100 kB", "echo", 100_000, (8,), None),
    RpcCase("echo1m", "echo 1 MB", "echo", 1_000_000, (8,), None),
    RpcCase("parts", f"streams of {PARTS} parts of {len(PART)} B", "parts", 100, (16,), (PART,) * PARTS),
)
