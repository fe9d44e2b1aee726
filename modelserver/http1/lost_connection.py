"""What stands in for a connection that is over, for those who may still speak to it."""

from __future__ import annotations

from attrs import field
from twisted.internet.interfaces import IAddress

from modelserver.errors import ServerFull
from modelserver.http1.states import ConnectionTransport, Mode, RequestHandler
from modelserver.language.attributes import define


@define(eq=False)
class LostTransport:
    """Sends nothing any more."""

    peer: IAddress
    host: IAddress
    disconnecting: bool = True

    def ignore(self, *arguments: object) -> None:
        """Do nothing: nobody is there."""

    write = writeSequence = registerProducer = pauseProducing = resumeProducing = ignore
    unregisterProducer = loseConnection = loseWriteConnection = abortConnection = ignore

    def getPeer(self) -> IAddress:
        """Return who was there."""
        return self.peer

    def getHost(self) -> IAddress:
        """Return where they had connected to."""
        return self.host


@define(eq=False)
class LostConnection:
    """Takes nothing any more; what still ends is counted."""

    transport: ConnectionTransport
    handler: RequestHandler
    remote: str
    limit_exceeded: ServerFull | None = None
    mode: Mode = field(default=Mode.LINGER)
    streamed: int = 0

    def reserve(self, size: int) -> bool:
        """Refuse memory: nobody will be answered."""
        return False

    def ignore(self, *arguments: object) -> None:
        """Do nothing: nobody is there."""

    keep = refuse = close = bridge_done = ignore
