"""
The bridge to Twisted Web, which reads every request that a connection does not serve itself.

Twisted Web's channel is made for one request and fed with the bytes of that request alone; it never meets the
network. Public names of ``HTTPChannel`` and ``Request`` only: ``tests/http1/test_twisted_web.py`` says which.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from io import BytesIO
from typing import Protocol, cast

from twisted.internet.interfaces import IAddress, ISSLTransport, ITransport
from twisted.python.failure import Failure
from zope.interface import implementer

from modelserver.errors import BodyTooLarge, ServerFull, ServingError
from modelserver.http1.chunked import ChunkedBody
from modelserver.http1.head import Malformed, RequestHead
from modelserver.http1.listener_context import ListenerContext
from modelserver.http1.lost_connection import LostConnection, LostTransport
from modelserver.http1.responses import REQUEST_ID
from modelserver.http1.states import ConnectionTransport, Mode, RequestHandler, cut_off
from modelserver.http1.web_alone import HTTPChannel, HTTPRequest, IRequest, IResource, Request, Site
from modelserver.traces import Trace


class BridgedConnection(Protocol):
    """What a bridge asks of the connection that holds it."""

    transport: ConnectionTransport
    handler: RequestHandler
    remote: str
    limit_exceeded: ServerFull | None
    mode: Mode
    streamed: int

    def reserve(self, size: int) -> bool:
        """Claim memory for a part of the body; return whether there was any; if not, refuse the request."""

    def keep(self, data: bytes) -> None:
        """Take what the client sent behind the request, until the request is answered."""

    def refuse(self, error: ServingError | Malformed) -> None:
        """Answer the request, which is not read any further, and close."""

    def close(self) -> None:
        """Close when everything is written."""

    def bridge_done(self, is_persistent: bool) -> None:
        """Go on with the next request, or close."""


@implementer(ITransport)
class TwistedWebBridge:
    """
    One request that Twisted Web reads and answers: the transport of a channel that is made for it.

    The connection tells its own transport when to pause; the channel only tells producers of answers.

    :param since: when the head was there, in the clock's seconds (monotonic).
    """

    def __init__(self, connection: BridgedConnection, listener: ListenerContext, head: RequestHead) -> None:
        self.head = head
        self.run_soon: Callable[[Callable[[], None]], object] = listener.run_soon
        self.has_head = False
        self._connection = connection
        self.since = connection.handler.now()
        # Asked now: a transport of Twisted's does not know them any more when its client has left.
        self._ends = connection.transport.getPeer(), connection.transport.getHost()
        self._is_closed = False
        self._missing = head.length or 0
        self._channel = channel = OneRequestChannel()
        channel.site = channel.factory = listener.site
        channel.makeConnection(self)
        self._chunks: ChunkedBody | None = None
        if head.length is None:
            transport = connection.transport
            self._chunks = ChunkedBody(
                listener.turns,
                self._deliver,
                self._end_chunks,
                self._refuse_as_invalid,
                transport.pauseProducing,
                transport.resumeProducing,
            )

    # What the connection asks.

    @property
    def is_whole(self) -> bool:
        """Whether the request is here: what comes now is behind it."""
        requests = self._channel.requests
        return bool(requests) and cast(BufferedRequest, requests[0]).is_whole

    @property
    def is_in_hand(self) -> bool:
        """Whether the request is whole, and not answered yet."""
        return self.is_open and self.is_whole

    @property
    def transport(self) -> ConnectionTransport:
        """What the answer is sent to."""
        return self._connection.transport

    def close_after(self) -> None:
        """Close the connection after the answer."""
        self._channel.persistent = False

    @property
    def received(self) -> int:
        """Bytes of the body so far."""
        requests = self._channel.requests
        return cast(BufferedRequest, requests[0]).received if requests else 0

    def begin(self, head: bytes) -> None:
        """
        Give the head to Twisted Web; should it think less of the head than we did, it is refused.

        Twisted Web knows a target as path and query only, and has an answer of its own for ``*``.
        """
        line, end, fields = head.partition(b"\r\n")
        method, target, protocol = line.split(b" ")
        if target != self.head.target:
            head = b" ".join((method, self.head.target, protocol)) + end + fields
        self._channel.dataReceived(head)
        if not self.has_head:
            self._refuse_as_invalid()

    def body_received(self, data: bytes) -> None:
        """Take a piece of the body; what is behind the body goes back to the connection."""
        if self._chunks is not None:
            self._chunks.dataReceived(data)
            return
        body, rest = data[: self._missing], data[self._missing :]
        self._missing -= len(body)
        if rest:
            self._connection.keep(rest)
        self._channel.dataReceived(body)

    def drop_body(self) -> None:
        """Deliver no more of a chunked body: the request is refused."""
        if self._chunks is not None:
            self._chunks.close()

    def pause_answer(self) -> None:
        """The client takes no more of the answer now."""
        self._channel.pauseProducing()

    def resume_answer(self) -> None:
        """The client takes more of the answer."""
        self._channel.resumeProducing()

    def stop_answer(self) -> None:
        """The client takes nothing any more."""
        self._channel.stopProducing()

    def connection_lost(self, reason: Failure) -> None:
        """
        Tell the request that its client is gone, in the next turn.

        What the request raises for that keeps its frames, and these the frames that they were called from:
        none of a connection may be among them.
        """
        self.run_soon(partial(self._channel.connectionLost, reason))
        self._forget()

    def _forget(self) -> None:
        """
        Let go of the connection, which goes without the garbage collector then.

        Twisted Web's channel and Klein's closures are in circles of their own, and lead here.
        """
        self.drop_body()
        connection = self._connection
        lost = LostTransport(*self._ends)
        transport = cast(ConnectionTransport, lost)  # its methods take anything
        self._connection = LostConnection(transport, connection.handler, connection.remote)
        self._chunks = None
        del self._channel

    # A chunked body is read by our own decoder: strictly, and in turns.

    def _deliver(self, data: bytes) -> None:
        self._channel.requests[0].handleContentChunk(data)

    def _end_chunks(self, rest: bytes) -> None:
        if rest:
            self._connection.keep(rest)
        self._channel.allContentReceived()

    def _refuse_as_invalid(self) -> None:
        self._connection.refuse(Malformed(400, "Invalid HTTP message."))

    # What the request and its channel ask.

    @property
    def is_open(self) -> bool:
        """Whether the request may still be answered by Twisted Web; it may have been refused."""
        return self._connection.mode is Mode.TWISTED_WEB

    @property
    def is_over_limit(self) -> bool:
        """Whether the connection ends with this answer because it is over a limit."""
        return self._connection.limit_exceeded is not None

    @property
    def is_secure(self) -> bool:
        """Whether the connection's transport is TLS of Twisted's."""
        return ISSLTransport.providedBy(self._connection.transport)

    def admit(self, received: int, size: int) -> bool:
        """
        Return whether a piece of the body may be kept; if not, the request is refused.

        :param received: bytes of the body, this piece included.
        :param size: bytes of the piece.
        """
        limit = self._connection.handler.max_request_size
        if received > limit:
            self._connection.refuse(BodyTooLarge(limit))
            return False
        return self._connection.reserve(size)

    def answered(self, code: int, request_id: bytes) -> None:
        """Note the answer, which is written."""
        connection = self._connection
        connection.handler.finished(connection.remote, self.head, code, self.since, request_id)

    def done(self, is_persistent: bool) -> None:
        """Give the connection back."""
        if self.is_open:
            connection = self._connection
            self._forget()
            connection.bridge_done(is_persistent)

    # The transport of the channel.

    @property
    def disconnecting(self) -> bool:
        """Whether the channel is to read no further."""
        return self._is_closed or self._connection.transport.disconnecting

    def write(self, data: bytes) -> None:
        """Send; what Twisted Web would say before it has read a head, is said by ``begin``."""
        if self.has_head:
            self._connection.streamed += len(data)
            self._connection.transport.write(data)

    def writeSequence(self, data: Sequence[bytes]) -> None:  # type: ignore[override]  # Twisted passes lists
        """Send all pieces."""
        self._connection.streamed += sum(map(len, data))
        self._connection.transport.writeSequence(data)

    def loseConnection(self) -> None:
        """Close when everything is written."""
        self._is_closed = True
        if self.has_head:
            self._connection.close()

    def abortConnection(self) -> None:
        """Close now, in the middle of an answer."""
        cut_off(self._connection.transport, self.head.minor > 0)

    def getPeer(self) -> IAddress:
        """Return the client's address."""
        return self._connection.transport.getPeer()

    def getHost(self) -> IAddress:
        """Return the address that the client has connected to."""
        return self._connection.transport.getHost()


class BufferedRequest(Request):
    """Twisted Web's request, its body in memory up to the limit, processed a turn after it was read."""

    channel: OneRequestChannel
    is_whole = False
    received = 0
    trace: Trace | None = None
    """What is told of it, if it is traced."""

    @property
    def header_block(self) -> bytes:
        """The header lines as they came, each ended by CRLF."""
        return self.channel.transport.head.block

    def gotLength(self, length: int | None) -> None:
        """Keep the body in memory: a temporary file would block the reactor."""
        self.content = self._kept = BytesIO()

    def handleContentChunk(self, data: bytes) -> None:
        """Take a piece of the body, unless it is too much."""
        self.received += len(data)
        if self.channel.transport.admit(self.received, len(data)):
            self._kept.write(data)

    def write(self, data: bytes) -> None:
        """Write a piece of the answer; one without a length ends for old clients with the connection."""
        is_old = self.clientproto == b"HTTP/1.0"
        if is_old and not self.startedWriting and not self.responseHeaders.hasHeader(b"content-length"):
            self.channel.persistent = False
            self.responseHeaders.setRawHeaders(b"connection", [b"close"])
        super().write(data)

    def process(self) -> None:
        """Let the connection finish reading first, so that what a client pipelined is left to it."""
        self.is_whole = True
        self.channel.transport.run_soon(self._process)

    def _process(self) -> None:
        # Since it was read, its client may have left, or it was refused.
        if self.channel is not None and self.channel.transport.is_open:
            super().process()


def trace_of(request: IRequest) -> Trace | None:
    """Return what is told of a request, if it is traced; others' kinds of requests are not."""
    return getattr(request, "trace", None)


class OneRequestChannel(HTTPChannel):
    """Twisted Web's channel for one request; its transport is the bridge."""

    requestFactory = BufferedRequest
    transport: TwistedWebBridge
    site: Site

    def allHeadersReceived(self) -> None:
        """Note that Twisted Web has accepted the head."""
        self.transport.has_head = True
        super().allHeadersReceived()
        if self.transport.is_over_limit:
            self.persistent = False

    def checkPersistence(self, request: IRequest, version: bytes) -> bool:
        """Decide as Twisted Web does, but clients of HTTP/1.0 that ask for it keep their connection."""
        head = self.transport.head
        if head.closes:
            return False
        if version == b"HTTP/1.0" and head.is_plain:
            return True
        return bool(super().checkPersistence(request, version))

    def requestDone(self, request: IRequest) -> None:
        """Give the connection back: this channel has no second request."""
        self.transport.done(bool(self.persistent))

    def abortConnection(self) -> None:
        """Cut off an answer that cannot be finished."""
        self.transport.abortConnection()

    def isSecure(self) -> bool:
        """Return whether TLS of Twisted's is in between."""
        return self.transport.is_secure


class BridgeSite(Site):
    """Finds the resource for a request, and notes its answer."""

    def __init__(self, resource: IResource) -> None:
        # The body of a form is left to whoever answers, as any other body.
        super().__init__(resource, parsePOSTFormSubmission=False)

    def log(self, request: HTTPRequest) -> None:
        """Note that a request is answered."""
        (shown,) = request.responseHeaders.getRawHeaders(REQUEST_ID, [b""])
        request_id = bytes.fromhex(shown.replace(b"-", b"").decode())
        answered = cast(OneRequestChannel, request.channel).transport.answered
        trace = trace_of(cast(IRequest, request))
        if trace is None:
            answered(request.code, request_id)
        else:
            trace.run(answered, request.code, request_id)
