"""
HTTP connections: plain prediction requests are read here, everything else by Twisted Web.

Each request's head is read strictly, once. A plain request for a prediction, or a ping, is served without
a Twisted Web ``Request``; any other is replayed, byte for byte, to Twisted Web's own channel and reaches a
Klein route, which leads to the same use case.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from io import BytesIO
from typing import Protocol, cast

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.http import Request as HTTPRequest
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource
from twisted.web.server import Request, Site

from modelserver.errors import BadRequest, BodyTooLarge, InternalError, ServingError
from modelserver.interfaces import Reply
from modelserver.jobs import Answer, Job
from modelserver.rest import render
from modelserver.rest.head import LONGEST_HEAD, Head, Malformed, parse_head

MEMO_SIZE = 2048
"""Header blocks whose reading is remembered, for all connections of a listener."""
LONGEST_AHEAD = 16 * 1024
"""Bytes that a pipelining client may be ahead before it is read no further."""


class Front(Protocol):
    """What a listener's channels ask of the server."""

    max_request_size: int
    cors: bytes

    def look(self, head: Head) -> bool:
        """Note on ``head`` what it asks for; False leaves the request to the Klein routes."""

    def predict(self, head: Head, body: bytes | bytearray, asker: Channel) -> Job | None:
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

    def finished(self, channel: Channel, head: Head | None, code: int, arrived: float | None) -> None:
        """An answer left: count it, and write the access log."""


class Connection(Protocol):
    """The transport below a channel: Twisted's, or ``LoopTransport``."""

    def write(self, data: bytes | bytearray | memoryview) -> object: ...
    def pauseProducing(self) -> object: ...
    def resumeProducing(self) -> object: ...
    def loseConnection(self) -> object: ...
    def loseWriteConnection(self) -> object: ...
    def abortConnection(self) -> object: ...
    def isSecure(self) -> bool: ...
    def getPeer(self) -> IAddress: ...


class Mode(Enum):
    """What a channel is doing with the bytes that come."""

    HEAD = "reading a head"
    BODY = "reading the body of a plain request"
    BUSY = "waiting for the answer to a plain request"
    STOCK = "Twisted Web has the request"
    LINGER = "refused; what still comes is thrown away"


class StockRequest(Request):
    """Twisted Web's request, its body in memory up to the limit, processed a turn after it was read."""

    channel: Channel

    def gotLength(self, length: int | None) -> None:
        """Keep the body in memory: a temporary file would block the reactor."""
        self.content = self._kept = BytesIO()
        self._received = 0

    def handleContentChunk(self, data: bytes) -> None:
        """Take a piece of the body, unless it is too much."""
        self._received += len(data)
        if self._received > self.channel.front.max_request_size:
            self.channel.refuse(BodyTooLarge(self.channel.front.max_request_size))
        else:
            self._kept.write(data)

    def process(self) -> None:
        """Let the channel finish reading first, so that what a client pipelined is left to it."""
        self.channel.run_soon(self._process)

    def _process(self) -> None:
        if not self._disconnected and self.channel is not None and self.channel.mode is Mode.STOCK:
            super().process()


class Channel(HTTPChannel):
    """One connection. ``front`` and ``run_soon`` come from its site."""

    requestFactory = StockRequest
    transport: Connection  # type: ignore[assignment]  # what the server's transports have beyond ITransport
    site: ChannelSite
    front: Front
    mode = Mode.HEAD
    touched = True
    stock_since = 0.0
    idle = 0
    """Sweeps that found nothing new: see ``Connections``."""

    def connectionMade(self) -> None:
        """A client is here."""
        super().connectionMade()
        site = self.site
        self.front = site.front
        self.run_soon: Callable[[Callable[[], None]], object] = site.run_soon
        self._memo: dict[bytes, Head] = site.memo
        self._rest = b""
        self._head: Head | None = None
        self._body: list[bytes] = []
        self._missing = 0
        self._job: Job | None = None
        self._begun = False
        site.connections.add(self)
        peer = self.transport.getPeer()
        self.remote = f"/{getattr(peer, 'host', '127.0.0.1')}:{getattr(peer, 'port', 0)}"

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client is gone, and with it its interest in an answer."""
        self.site.connections.discard(self)
        job, self._job = self._job, None
        if job is not None:
            self.front.withdraw(job)
        super().connectionLost(reason)

    @property
    def has_part_of_head(self) -> bool:
        """Whether a request has begun whose head is not here yet."""
        return self.mode is Mode.HEAD and bool(self._rest)

    # Reading.

    def dataReceived(self, data: bytes) -> None:
        """Bytes came."""
        self.touched = True
        mode = self.mode
        if mode is Mode.HEAD:
            if self._rest:
                data = self._rest + data
            self._read_heads(data)
        elif mode is Mode.BODY:
            self._body.append(data)
            self._missing -= len(data)
            if self._missing <= 0:
                self._read_heads(self._end_body())
        elif mode is Mode.STOCK:
            super().dataReceived(data)
        elif mode is Mode.BUSY:
            self._rest += data
            if len(self._rest) > LONGEST_AHEAD:
                self.transport.pauseProducing()

    def _read_heads(self, data: bytes) -> None:
        """Serve what is whole in ``data``: a loop, since an answer may come before the next line is run."""
        self._rest = b""
        while data and self.mode is Mode.HEAD:
            if data.startswith(b"\r\n"):
                data = data[2:]
                continue
            end = data.find(b"\r\n\r\n") + 4
            if end < 4 or end > LONGEST_HEAD:
                self._read_no_head(data)
                return
            block = data[:end]
            head = self._memo.get(block) or self._read_head(block, end)
            if head is None:
                return
            length = head.length
            if length is not None and length > self.front.max_request_size:
                self._head = head
                self.refuse(BodyTooLarge(self.front.max_request_size))
            elif not head.operation or length is None:
                self.mode = Mode.STOCK
                self._head, self.stock_since = head, self.front.now()
                super().dataReceived(data)
                return
            elif len(data) - end < length:
                self.mode = Mode.BODY
                self._head, self._body, self._missing = head, [data[end:]], length - len(data) + end
                return
            else:
                self._begin(head, data[end : end + length])
                data = data[end + length :]
        if self.mode is not Mode.LINGER:
            self._rest = data

    def _read_no_head(self, data: bytes) -> None:
        self._rest = data
        if len(data) > LONGEST_HEAD:
            self._rest = b""
            self.refuse(Malformed(431, f"The request's head is longer than {LONGEST_HEAD} bytes."))

    def _read_head(self, block: bytes, end: int) -> Head | None:
        try:
            head = parse_head(block, end)
        except Malformed as error:
            self.refuse(error)
            return None
        if not head.is_plain or not self.front.look(head):
            head.operation = ""
        if len(self._memo) >= MEMO_SIZE:
            self._memo.clear()
        self._memo[block] = head
        return head

    def _end_body(self) -> bytes:
        """The body is here: begin; returns what came behind it."""
        head = self._head
        assert head is not None and head.length is not None  # the mode says so
        body = b"".join(self._body)
        self._body = []
        self.mode = Mode.HEAD
        self._begin(head, body[: head.length])
        return self._rest + body[head.length :]

    def _begin(self, head: Head, body: bytes) -> None:
        self._head = head
        self.mode = Mode.BUSY
        try:
            self._job = self.front.predict(head, body, self)
        except ServingError as error:
            self._send_error(error, self.front.new_id(), None)
        except Exception as error:
            self.site.log_failure(Failure(error))
            self._send_error(InternalError(), self.front.new_id(), None)

    # Answering: the channel is the asker of its own jobs.

    def answered(self, job: Job, answer: Answer) -> None:
        """Send a handler's answer, or the last part of a streamed one."""
        self._job = None
        if self._begun:
            self._begun = False
            self.transport.write(render.chunk(answer.body) + render.LAST_CHUNK)
        else:
            head = render.answer_head(job.id, answer, self.front.cors)
            if len(answer.body) < render.LARGE:
                self.transport.write(head + answer.body)
            else:
                self.transport.write(head)
                self.transport.write(answer.body)
        self._end(answer.status, job.arrived)

    def part_arrived(self, job: Job, answer: Answer) -> bool:
        """Send one part of a streamed answer as one chunk."""
        data = b""
        if not self._begun:
            self._begun = True
            data = render.stream_head(job.id, answer, self.front.cors)
        self.transport.write(data + render.chunk(answer.body))
        return True

    def failed(self, job: Job, error: ServingError) -> None:
        """Say why there is no answer; a stream that has begun can only be cut off."""
        self._job = None
        if self._begun:
            self.front.finished(self, self._head, 500, job.arrived)
            self.transport.abortConnection()
        else:
            self._send_error(error, job.id, job.arrived)

    def reply(self, value: Reply) -> None:
        """Send a dialect's reply."""
        close = value.code >= render.FIRST_ERROR
        self.transport.write(render.reply(self.front.new_id(), value, close, self.front.cors))
        self._end(value.code, None)

    def _send_error(self, error: ServingError, request_id: bytes, arrived: float | None) -> None:
        value = self.front.refused(error)
        self.transport.write(render.reply(request_id, value, True, self.front.cors))
        self._end(value.code, arrived)

    def _end(self, code: int, arrived: float | None) -> None:
        """The answer is written: the next request, if it waits, is read; an error ends the connection."""
        self.front.finished(self, self._head, code, arrived)
        if code >= render.FIRST_ERROR:
            self._linger()
            return
        self.mode = Mode.HEAD
        if self._rest:
            self.run_soon(self._read_on)

    def _read_on(self) -> None:
        if self.mode is Mode.HEAD:
            self._read_heads(self._rest)
        if self.mode is Mode.HEAD or len(self._rest) <= LONGEST_AHEAD:
            self.transport.resumeProducing()

    # Refusing.

    def refuse(self, error: ServingError | Malformed) -> None:
        """Answer a request that is not read any further, and close."""
        if isinstance(error, Malformed):
            value = self.front.refused(BadRequest(error.reason))
            if error.code != value.code:
                value = value._replace(code=error.code)
        else:
            value = self.front.refused(error)
        self.transport.write(render.reply(self.front.new_id(), value, True, self.front.cors))
        self.front.finished(self, self._head, value.code, None)
        self._linger()

    def _linger(self) -> None:
        """
        Close in a way that lets the client read the answer.

        A close with unread bytes in the socket resets the connection, and the answer with it (RFC 9112, 9.6).
        """
        self.mode = Mode.LINGER
        self._rest = b""
        self._body = []
        if self.transport.isSecure():
            self.transport.loseConnection()
        else:
            self.transport.loseWriteConnection()
            self.transport.resumeProducing()

    # Twisted Web's side.

    def requestDone(self, request: IRequest) -> None:
        """Twisted Web has answered: what the client pipelined is read here again."""
        if self.mode is not Mode.STOCK:
            return
        rest, self._dataBuffer = b"".join(self._dataBuffer), []
        self.mode = Mode.HEAD
        super().requestDone(request)
        if rest and self.persistent:
            self._rest = rest
            self.run_soon(self._read_on)

    def answered_stock(self, code: int) -> None:
        """Twisted Web has written an answer."""
        self.front.finished(self, self._head, code, self.stock_since)

    def abortConnection(self) -> None:
        """Cut off an answer that cannot be finished."""
        self.transport.abortConnection()

    def _respondToBadRequestAndDisconnect(self) -> None:
        self.refuse(Malformed(400, "Invalid HTTP message."))


class ChannelSite(Site):
    """A listener's factory: what its channels share."""

    protocol = Channel  # type: ignore[assignment]  # Twisted's own type is private

    def __init__(
        self,
        resource: IResource,
        front: Front,
        run_soon: Callable[[Callable[[], None]], object],
        connections: set[Channel],
        log_failure: Callable[[Failure], None],
    ) -> None:
        super().__init__(resource, requestFactory=StockRequest)
        self.timeOut = None
        self.front = front
        self.run_soon = run_soon
        self.connections = connections
        self.log_failure = log_failure
        self.memo: dict[bytes, Head] = {}
        self._parsePOSTFormSubmission = False

    def buildProtocol(self, addr: IAddress | None) -> Channel:  # type: ignore[override]  # as above
        """A channel for a new connection."""
        channel = cast(Channel, super().buildProtocol(addr))
        channel.site = self
        return channel

    def log(self, request: HTTPRequest) -> None:
        """A request that Twisted Web had is answered."""
        cast(Channel, request.channel).answered_stock(request.code)
