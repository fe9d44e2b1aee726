"""What ``Intake`` asks of a connection's calls whose bodies bypass its HTTP/2 engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from modelserver.rpc.call import ServerCall
from modelserver.rpc.outflow import Outflow
from modelserver.rpc.passing import Passage, Passing


class LargeCalls(Protocol):
    """
    Whose bodies go past the engine.

    :param calls: those in hand, by stream.
    :param half: those that are answered whose requests are not whole, for the engine at least.
    """

    calls: dict[int, ServerCall]
    half: dict[int, ServerCall]
    passing: Passing
    outflow: Outflow

    def body_came(self, stream: int, data: bytes, ended: bool) -> None:
        """Take a piece of a call's body; ``ended``: the last."""

    def large_came(self, passages: Sequence[Passage]) -> None:
        """Count bytes that lie where the worker will read them, and have not been counted."""

    def take_cost(self) -> int:
        """Return how much was done since the last time beyond what came, as a count of events."""
