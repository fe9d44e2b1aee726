"""Twisted Web's side of a connection: what its own channel does for requests that are not plain."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from twisted.web.http import HTTPChannel
from twisted.web.iweb import IRequest

from modelserver.errors import ServerFull, ServingError
from modelserver.http1.chunked import ChunkedBody
from modelserver.http1.head import Head, Malformed
from modelserver.http1.states import Connection, Front, Mode
from modelserver.http1.twisted_web_request import BufferedRequest

if TYPE_CHECKING:
    from modelserver.http1.site import ChannelSite


class TwistedWebChannel(HTTPChannel):
    """Twisted Web's channel, which is fed one request at a time, and gives the connection back after it."""

    requestFactory = BufferedRequest
    transport: Connection  # type: ignore[assignment]  # what the server's transports have beyond ITransport
    site: ChannelSite
    front: Front
    run_soon: Callable[[Callable[[], None]], object]
    over: ServerFull | None = None
    """The limit that this connection is over: it may ask once, for anything but a prediction."""
    mode = Mode.HEAD
    stock_since = 0.0
    served = 0
    """Answers so far."""
    _head: Head | None = None
    _rest = b""

    @property
    def _stock(self) -> BufferedRequest | None:
        return cast(BufferedRequest, self.requests[-1]) if self.requests else None

    @property
    def block(self) -> bytes:
        """The header lines of the request that Twisted Web has, as they came."""
        return b"" if self._head is None else self._head.block

    def allHeadersReceived(self) -> None:
        """A head is here; a chunked body is read by our own decoder."""
        if self.length is None:
            self._transferDecoder = ChunkedBody(
                self.site.turns,
                self.requests[-1].handleContentChunk,
                self._finishRequestBody,
                self._respondToBadRequestAndDisconnect,
                self.transport.pauseProducing,
                self.transport.resumeProducing,
            )
        super().allHeadersReceived()
        if self.over is not None:
            self.persistent = False

    def _drop_body(self) -> None:
        """What still comes of a body is not for the request any more."""
        if isinstance(self._transferDecoder, ChunkedBody):
            self._transferDecoder.close()

    def checkPersistence(self, request: IRequest, version: bytes) -> bool:
        """As Twisted Web does, but clients of HTTP/1.0 that ask for it keep their connection."""
        head = self._head
        if version == b"HTTP/1.0" and head is not None and head.is_plain and not head.closes:
            return True
        return bool(super().checkPersistence(request, version))

    def requestDone(self, request: IRequest) -> None:
        """Twisted Web has answered: what the client pipelined is read here again."""
        if self.mode is not Mode.STOCK:
            return
        rest, self._dataBuffer = b"".join(self._dataBuffer), []
        self.mode = Mode.HEAD
        self.served += 1
        self._release()
        super().requestDone(request)
        if rest and self.persistent:
            self._rest = rest
            self.run_soon(self._read_on)

    def abortConnection(self) -> None:
        """Cut off an answer that cannot be finished."""
        self.transport.abortConnection()

    def _respondToBadRequestAndDisconnect(self) -> None:
        self.refuse(Malformed(400, "Invalid HTTP message."))

    # What the channel does for both sides.

    @abstractmethod
    def refuse(self, error: ServingError | Malformed) -> None:
        """Answer a request that is not read any further, and close."""

    @abstractmethod
    def _release(self) -> None:
        """The body is not needed any more."""

    @abstractmethod
    def _read_on(self) -> None:
        """Read what came behind the request that was answered."""
