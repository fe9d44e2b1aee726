"""Parts of listeners that are made when the first client needs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import ServerFactory


class LateFactory(ServerFactory):
    """
    Stands for a factory, which it makes at the first connection.

    What a listener needs is loaded then: that client waits for it, and so does what else the event loop has
    to do in that moment (40 ms for gRPC).

    :param make: makes the factory.
    """

    noisy = False

    def __init__(self, make: Callable[[], ServerFactory]) -> None:
        self._make = make
        self._made: ServerFactory | None = None

    def stopFactory(self) -> None:
        """Let the factory know that nobody listens any more, if it has been made."""
        if self._made is not None:
            self._made.doStop()  # type: ignore[no-untyped-call]  # Twisted's

    def buildProtocol(self, addr: IAddress | None) -> Any:  # Twisted does not export its own type
        """Return the factory's protocol for a client."""
        if self._made is None:
            self._made = self._make()
            self._made.doStart()  # type: ignore[no-untyped-call]  # Twisted's
        return self._made.buildProtocol(addr)
