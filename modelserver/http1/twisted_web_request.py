"""Requests that Twisted Web reads: their bodies stay in memory, and are counted."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from twisted.web.server import Request

from modelserver.errors import BodyTooLarge
from modelserver.http1.states import Mode

if TYPE_CHECKING:
    from modelserver.http1.connection import Channel


class BufferedRequest(Request):
    """Twisted Web's request, its body in memory up to the limit, processed a turn after it was read."""

    channel: Channel
    is_whole = False
    received = 0

    def gotLength(self, length: int | None) -> None:
        """Keep the body in memory: a temporary file would block the reactor."""
        self.content = self._kept = BytesIO()
        self.received = 0

    def handleContentChunk(self, data: bytes) -> None:
        """Take a piece of the body, unless it is too much."""
        self.received += len(data)
        if self.received > self.channel.front.max_request_size:
            self.channel.refuse(BodyTooLarge(self.channel.front.max_request_size))
        elif self.channel.reserve(len(data)):
            self._kept.write(data)

    def write(self, data: bytes) -> None:
        """Write a piece of the answer; one without a length ends for old clients with the connection."""
        is_old = self.clientproto == b"HTTP/1.0"
        if is_old and not self.startedWriting and not self.responseHeaders.hasHeader(b"content-length"):
            self.channel.persistent = False
            self.responseHeaders.setRawHeaders(b"connection", [b"close"])
        super().write(data)

    def process(self) -> None:
        """Let the channel finish reading first, so that what a client pipelined is left to it."""
        self.is_whole = True
        self.channel.run_soon(self._process)

    def _process(self) -> None:
        if not self._disconnected and self.channel is not None and self.channel.mode is Mode.STOCK:
            super().process()
