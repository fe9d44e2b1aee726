"""
Clients that send no more and still wait for their answer, told apart from those that have left.

Both end their side of a TCP connection in the same way. Only who sends to a client that has left is told so,
by a reset: an interim response (RFC 9110, 15.2), which every client must skip, brings that about.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from attrs import define

from modelserver.http1.head import RequestHead
from modelserver.http1.states import ConnectionTransport

FIRST_LOOK = 0.05
"""Seconds before the first look: most requests are answered by then, and their clients get nothing else."""
LONGEST_PAUSE = 2.0
"""Seconds between two looks at most."""
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"


class RequestInHand(Protocol):
    """A whole request, whose answer goes to a transport."""

    head: RequestHead

    @property
    def is_waiting(self) -> bool:
        """Whether nothing of its answer was sent yet."""

    @property
    def transport(self) -> ConnectionTransport:
        """What its answer is sent to."""


@define(eq=False)
class LeavingWatch:
    """Looks after requests of clients that send no more, until their answers begin."""

    call_later: Callable[..., object]

    def watch(self, request: RequestInHand) -> None:
        """Begin to look."""
        self.call_later(FIRST_LOOK, self._look, request, FIRST_LOOK, False)

    def _look(self, request: RequestInHand, pause: float, is_probed: bool) -> None:
        if not request.is_waiting:
            return
        transport = request.transport
        is_gone: Callable[[], bool] | None = getattr(transport, "is_gone", None)
        if is_gone is not None and is_gone():
            transport.abortConnection()
            return
        # A transport that cannot tell learns of the reset when it sends again.
        if request.head.minor and not (is_probed and is_gone is not None):
            transport.write(INTERIM)
        pause = min(2 * pause if is_probed else pause, LONGEST_PAUSE)
        self.call_later(pause, self._look, request, pause, True)
