"""What a connection is doing, and what it has around it: its transport, its listener, the server behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial
from typing import Protocol

from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import IAddress, IPushProducer, ISSLTransport

from modelserver.errors import ServerFull, ServingError
from modelserver.http1.head import Malformed, RequestHead
from modelserver.interfaces import Reply
from modelserver.jobs import Job, ResponseObserver, SharedSlot
from modelserver.protocol.shared_memory import SharedMemoryPool
from modelserver.system.socket_queue import on_their_way


class ReplyObserver(ResponseObserver, Protocol):
    """Waits for the answer to a request: from a job, or at once, from the server."""

    def reply(self, value: Reply) -> None:
        """Send a dialect's reply."""

    def refuse(self, error: ServingError) -> None:
        """Say why the request is not served."""


class RequestHandler(Protocol):
    """
    What the connections of a listener ask of the server.

    :param max_request_size: bytes of a body.
    :param cors: header lines for every answer, each ended by CRLF.
    :param slots: memory that workers can read, for large bodies; None: there is none.
    """

    max_request_size: int
    cors: bytes
    slots: SharedMemoryPool | None

    def classify(self, head: RequestHead) -> object | None:
        """Return what a plain request asks for, in the handler's own terms; None leaves it to Twisted Web."""

    def is_prediction(self, head: RequestHead) -> bool:
        """Return whether the request asks a model, rather than for the server's state or a change of it."""

    def predict(self, head: RequestHead, body: bytes | SharedSlot, observer: ReplyObserver) -> Job | None:
        """
        Begin a request that has an operation; return None when it has been answered already.

        :param body: the job's from then on; where there is none, a slot stays the caller's to free.
        :raises ServingError: it is refused.
        """

    def withdraw(self, job: Job) -> None:
        """Cancel a job whose client has left."""

    def refused(self, error: ServingError) -> Reply:
        """Return an error in the dialect's words."""

    def now(self) -> float:
        """Return the clock's seconds (monotonic)."""

    def new_id(self) -> bytes:
        """Return an id for an answer that no job stands behind."""

    def finished(
        self, remote: str, head: RequestHead, code: int, arrived: float | None, request_id: bytes
    ) -> None:
        """
        Count an answer that left, and write the access log.

        :param arrived: when its request was complete, in the clock's seconds; None: it never was.
        """


class ConnectionTransport(Protocol):
    """The transport below a connection: one of Twisted's, or ``LoopTransport``."""

    disconnecting: bool

    def write(self, data: bytes | bytearray | memoryview) -> object: ...
    def writeSequence(self, data: Sequence[bytes | bytearray | memoryview]) -> object: ...
    def registerProducer(self, producer: IPushProducer, streaming: bool) -> object: ...
    def unregisterProducer(self) -> object: ...
    def pauseProducing(self) -> object: ...
    def resumeProducing(self) -> object: ...
    def loseConnection(self) -> object: ...
    def loseWriteConnection(self) -> object: ...
    def abortConnection(self) -> object: ...
    def getPeer(self) -> IAddress: ...
    def getHost(self) -> IAddress: ...


class Mode(Enum):
    """What a connection does with the bytes that come."""

    HEAD = "reading a head"
    BODY = "reading the body of a plain request"
    BUSY = "waiting for the answer to a plain request"
    TWISTED_WEB = "Twisted Web has the request"
    LINGER = "refused; what still comes is thrown away"


class Phase(Enum):
    """What a client is expected to do next."""

    IDLE = "ask something"
    HEAD = "send the rest of a head"
    BODY = "send the rest of a body"
    BUSY = "wait"
    LINGER = "read what is left, and go"


class OpenConnection(Protocol):
    """
    A connection, for those who count connections and watch over their clients.

    :param host: the client's address.
    :param limit_exceeded: the limit that this connection is over: it may ask once, for anything but a
        prediction.
    """

    host: str
    limit_exceeded: ServerFull | None

    @property
    def served(self) -> int:
        """Answers so far."""

    @property
    def phase(self) -> Phase:
        """What the client is expected to do next."""

    @property
    def received(self) -> int:
        """A number that grows by one with each byte of a body."""

    @property
    def unsent(self) -> int:
        """Bytes of answers that the client has not taken yet."""

    @property
    def left(self) -> int:
        """The same, with what the system has taken for the client."""

    @property
    def taken(self) -> int:
        """A number that grows with each byte that the client takes of what it has not taken yet."""

    def refuse(self, error: ServingError | Malformed) -> None:
        """Answer a request that is not read any further, and close."""

    def finish(self) -> None:
        """Close after the request in hand, or else after the next one."""

    def close(self) -> None:
        """Close when everything is written."""

    def abort(self) -> None:
        """Close now."""


class ConnectionLimits(Protocol):
    """The connections that a listener has and may have."""

    def refusal(self, host: str) -> ServerFull | None:
        """Return the limit that one more from ``host`` would be over, or None."""

    def add(self, connection: OpenConnection) -> object:
        """Count a connection that is open."""

    def discard(self, connection: OpenConnection) -> object:
        """Count a connection no more."""

    def note_full(self, connection: OpenConnection) -> object:
        """Count a client that takes no more of its answers at present."""


PHASES = {Mode.BODY: Phase.BODY, Mode.BUSY: Phase.BUSY, Mode.LINGER: Phase.LINGER}
"""Phases of those modes that have one."""


def is_secure(transport: ConnectionTransport) -> bool:
    """Return whether TLS is in between; of Twisted's own transports, only their interface tells."""
    tells = getattr(transport, "isSecure", None)
    return ISSLTransport.providedBy(transport) if tells is None else bool(tells())


def cut_off(transport: ConnectionTransport, knows_chunks: bool) -> None:
    """
    Close in the middle of an answer: by a reset, if the end of the connection would make it a whole one.

    So it is in HTTP/1.0. Clients that know chunks miss the last one; a reset might cost them those before.
    Twisted's own transports always abort by one.
    """
    reset = None if knows_chunks else getattr(transport, "cut_off", None)
    (reset or transport.abortConnection)()


def unsent_by(transport: ConnectionTransport) -> tuple[Callable[[], int], Callable[[], int]]:
    """Return what tells how much a transport has not sent yet, and how much its client has not taken."""
    own = getattr(transport, "transport", transport)  # TLS of Twisted's is around the one that sends
    if isinstance(own, FileDescriptor):
        return partial(_unsent_by_twisted, own), partial(_untaken_of_twisted, own)
    return getattr(transport, "unsent", int), getattr(transport, "untaken", int)


def _unsent_by_twisted(transport: FileDescriptor) -> int:
    """Return what a transport of Twisted's has not sent yet: it asks itself so, and tells nobody."""
    return len(transport.dataBuffer) - transport.offset + transport._tempDataLen


def _untaken_of_twisted(transport: FileDescriptor) -> int:
    return _unsent_by_twisted(transport) + on_their_way(transport.fileno())


def host_of(address: IAddress | None) -> str:
    """Return the address of a client; one name for all who come through a Unix socket."""
    return getattr(address, "host", "127.0.0.1")


def remote_of(address: IAddress | None) -> str:
    """Return the same for the access log, as TorchServe shows it: only TCP has a slash and a port."""
    host, port = host_of(address), getattr(address, "port", None)
    return host if port is None else f"/{host}:{port}"
