"""What a channel has around it: the transport below, the server behind, and what it does at a moment."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from twisted.internet.interfaces import IAddress, ISSLTransport

from modelserver.errors import ServerFull, ServingError
from modelserver.http1.head import Head
from modelserver.interfaces import Reply
from modelserver.jobs import Job, SharedSlot
from modelserver.protocol.shared_memory import SharedMemoryPool

if TYPE_CHECKING:
    from modelserver.http1.connection import Channel


class Front(Protocol):
    """What a listener's channels ask of the server."""

    max_request_size: int
    cors: bytes
    slots: SharedMemoryPool | None

    def look(self, head: Head) -> bool:
        """Note on ``head`` what it asks for; False leaves the request to the Klein routes."""

    def is_prediction(self, head: Head) -> bool:
        """Whether it asks a model, rather than for the server's state or a change of it."""

    def predict(self, head: Head, body: bytes | SharedSlot, observer: Channel) -> Job | None:
        """
        Begin a request that ``look`` took; None when it has been answered already.

        :raises ServingError: it is refused.
        """

    def withdraw(self, job: Job) -> None:
        """The client left."""

    def refused(self, error: ServingError) -> Reply:
        """An error in the dialect's words."""

    def now(self) -> float:
        """The clock's seconds."""

    def new_id(self) -> bytes:
        """An id for an answer that no job stands behind."""

    def finished(
        self, remote: str, head: Head | None, code: int, arrived: float | None, request_id: bytes
    ) -> None:
        """An answer left: count it, and write the access log."""


class Connection(Protocol):
    """The transport below a channel: Twisted's, or ``LoopTransport``."""

    def write(self, data: bytes | bytearray | memoryview) -> object: ...
    def writeSequence(self, data: Sequence[bytes | bytearray | memoryview]) -> object: ...
    def pauseProducing(self) -> object: ...
    def resumeProducing(self) -> object: ...
    def loseConnection(self) -> object: ...
    def loseWriteConnection(self) -> object: ...
    def abortConnection(self) -> object: ...
    def getPeer(self) -> IAddress: ...


class Mode(Enum):
    """What a channel is doing with the bytes that come."""

    HEAD = "reading a head"
    BODY = "reading the body of a plain request"
    BUSY = "waiting for the answer to a plain request"
    STOCK = "Twisted Web has the request"
    LINGER = "refused; what still comes is thrown away"


class Phase(Enum):
    """What a client is expected to do next."""

    IDLE = "ask something"
    HEAD = "send the rest of a head"
    BODY = "send the rest of a body"
    BUSY = "wait"
    LINGER = "read why it was refused, and go"


class ConnectionLimits(Protocol):
    """The connections that a listener has and may have."""

    def refusal(self, host: str) -> ServerFull | None:
        """The limit that one more from ``host`` is over."""

    def add(self, channel: Channel) -> object:
        """A connection is open."""

    def discard(self, channel: Channel) -> object:
        """A connection is over."""


PHASES = {Mode.BODY: Phase.BODY, Mode.BUSY: Phase.BUSY, Mode.LINGER: Phase.LINGER}


def is_secure(transport: Connection) -> bool:
    """Whether TLS is in between; of Twisted's own transports, only their interface tells."""
    tells = getattr(transport, "isSecure", None)
    return ISSLTransport.providedBy(transport) if tells is None else bool(tells())


def host_of(address: IAddress | None) -> str:
    """Who is at the other end; one name for all who come through a Unix socket."""
    return getattr(address, "host", "127.0.0.1")


def remote_of(address: IAddress | None) -> str:
    """The same for the access log, as TorchServe shows it: only an address of TCP has a slash and a port."""
    host, port = host_of(address), getattr(address, "port", None)
    return host if port is None else f"/{host}:{port}"
