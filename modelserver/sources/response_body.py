"""The body of a response, read piece by piece, so that a slow disk slows the sender down."""

from __future__ import annotations

from typing import cast

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.iweb import IResponse

MOST_WAITING = 1 << 20
"""Bytes that may wait for a reader before the connection is paused."""


class Body(Protocol):
    """Buffers what arrived until it is read."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._reader: Deferred[bytes] | None = None
        self._end: Failure | None = None
        self._is_paused = False
        self._is_closed = False

    @classmethod
    def of(cls, response: IResponse) -> Body:
        """Return the body of a response; nothing else may read it."""
        body = cls()
        response.deliverBody(body)  # type: ignore[no-untyped-call]  # Twisted's
        return body

    def read(self) -> Deferred[bytes]:
        """
        Return the bytes that have arrived since the last call, or wait for some; no bytes mean the end.

        One reader at a time. The Deferred fails if the response breaks off.
        """
        if self._pieces:
            data, self._pieces, self._size = b"".join(self._pieces), [], 0
            if self._is_paused:
                self._is_paused = False
                self._producer.resumeProducing()
            return succeed(data)
        if self._end is not None:
            return _ended(self._end)
        self._reader = Deferred(self._leave)
        return self._reader

    def close(self) -> None:
        """Abort the connection, whatever is still to come; nothing is read after that."""
        self._is_closed = True
        self._pieces = []
        if self._end is None and self.transport is not None:
            self.transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        """Take a piece of the body."""
        if self._is_closed:
            return
        if self._reader is not None:
            reader, self._reader = self._reader, None
            reader.callback(data)
            return
        self._pieces.append(data)
        self._size += len(data)
        if not self._is_paused and self._size >= MOST_WAITING:
            self._is_paused = True
            self._producer.pauseProducing()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Take the end of the body, or its failure."""
        self._end = reason
        if self._reader is not None:
            reader, self._reader = self._reader, None
            _ended(reason).chainDeferred(reader)

    @property
    def _producer(self) -> IPushProducer:
        # Twisted gives a body's protocol a proxy of the connection that pauses it.
        return cast(IPushProducer, self.transport)

    def _leave(self, reader: Deferred[bytes]) -> None:
        self._reader = None


def _ended(reason: Failure) -> Deferred[bytes]:
    if isinstance(reason.value, ResponseDone | PotentialDataLoss):
        return succeed(b"")
    return fail(reason)
