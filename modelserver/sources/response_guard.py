"""Checks what Twisted's HTTP client does not: the length of a response's head, and that of its body."""

from __future__ import annotations

import re

from twisted.internet.interfaces import IProtocolFactory, ITCPTransport
from twisted.internet.protocol import Factory, connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure

LONGEST_HEAD = 65536
"""Bytes of status line and header lines together."""

_HEAD_END = re.compile(rb"\r?\n\r?\n")
_INTERIM = re.compile(rb"HTTP/1\.\d 1\d\d")
_LENGTH = re.compile(rb"^content-length:[ \t]*(\d{1,18})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_CODED = re.compile(rb"^transfer-encoding:", re.IGNORECASE | re.MULTILINE)


class ResponseLied(Exception):
    """The head of a response has no end, or the body is longer than ``Content-Length``."""

    def __str__(self) -> str:
        return "the head is endless, or more came than Content-Length says"


class ResponseGuard(ProtocolWrapper):
    """
    Stands between a connection and the client of one request, and aborts the connection at a violation.

    Violations are a head without end, and more bytes than ``Content-Length``. A response that the client
    gives up half-read is aborted, too, so that no server can go on sending for ever.
    """

    transport: ITCPTransport
    _head: bytes | None = b""
    _left: int | None = None
    _lie: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        """Pass on what is within the limits."""
        body = len(data) if self._head is None else self._read_head(data)
        if self._left is not None:
            self._left -= body
        if (self._left or 0) < 0 or len(self._head or b"") > LONGEST_HEAD:
            self._lie = Failure(ResponseLied())  # type: ignore[no-untyped-call]  # Twisted's
            self.transport.abortConnection()
        else:
            self.wrappedProtocol.dataReceived(data)

    def loseConnection(self) -> None:
        """Close the connection after a complete response, abort it after less."""
        self.disconnecting = 1
        if self._left == 0:
            self.transport.loseConnection()
        else:
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell the client why its connection ended."""
        super().connectionLost(self._lie or reason)  # type: ignore[no-untyped-call]  # Twisted's

    def _read_head(self, data: bytes) -> int:
        """Take in bytes of the head, and say how many belong to the body."""
        head = (self._head or b"") + data
        while (end := _HEAD_END.search(head)) is not None and _INTERIM.match(head):
            head = head[end.end() :]
        if end is None:
            self._head = head
            return 0
        self._head = None
        length = _LENGTH.search(head, 0, end.end())
        if length is not None and not _CODED.search(head, 0, end.end()):
            self._left = int(length[1])
        return len(head) - end.end()


def guarding(factory: IProtocolFactory) -> IProtocolFactory:
    """Return a factory with a guard around each protocol, which is the guard's ``wrappedProtocol``."""
    wrapping: WrappingFactory = WrappingFactory(factory)  # type: ignore[no-untyped-call]  # Twisted's
    wrapping.protocol = ResponseGuard
    for each in (wrapping, factory):
        if isinstance(each, Factory):
            each.noisy = False  # no line in the log for the start and end of each connection
    return wrapping
