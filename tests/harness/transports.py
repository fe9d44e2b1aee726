"""Transports in memory, between a connection of the server and a test's client."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.testing import StringTransport
from zope.interface import implementer

from modelserver.http1.asyncio_transport import BodySink


class MemoryTransport(StringTransport):
    """As the server's transports: it can be closed for writing alone, and then nothing may be written."""

    def __init__(self) -> None:
        super().__init__(peerAddress=IPv4Address("TCP", "192.0.2.1", 54321))
        self.is_write_closed = False
        self.is_aborted = False
        self.is_reset = False

    sink: BodySink | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self.is_write_closed:
            raise RuntimeError("Cannot call write() after write_eof()")
        super().write(bytes(data))

    def writeSequence(self, data: Iterable[bytes]) -> None:
        self.write(b"".join(data))

    def loseWriteConnection(self) -> None:
        self.is_write_closed = True

    def unregisterProducer(self) -> None:
        if self.producer is not None:  # real transports do not mind that there is none
            super().unregisterProducer()

    def abortConnection(self) -> None:
        self.is_aborted = True
        self.loseConnection()

    def cut_off(self) -> None:
        self.is_reset = True
        self.abortConnection()

    def setTcpNoDelay(self, enabled: bool) -> None:
        pass

    def getTcpNoDelay(self) -> bool:
        return False

    def setTcpKeepAlive(self, enabled: bool) -> None:
        pass

    def getTcpKeepAlive(self) -> bool:
        return False

    @property
    def is_reading(self) -> bool:
        """Whether the client's bytes would be read now."""
        return self.producerState == "producing" and not self.disconnecting

    @property
    def is_closing(self) -> bool:
        """Whether no further answer can come."""
        return self.is_write_closed or self.disconnecting


class TellingTransport(MemoryTransport):
    """Knows whether TLS is in between, as the loop's transports do; Twisted's do not."""

    def __init__(self, is_secure: bool) -> None:
        super().__init__()
        self.is_secure = is_secure

    def isSecure(self) -> bool:
        return self.is_secure


class FillingTransport(TellingTransport):
    """Receives straight into a sink, and tells when all is sent, as the loop's transports do."""

    def __init__(self, is_secure: bool = False) -> None:
        super().__init__(is_secure)
        self.told_when_sent: list[Callable[[], None]] = []

    def fill(self, sink: BodySink) -> None:
        self.sink = sink

    def when_sent(self, call: Callable[[], None]) -> None:
        self.told_when_sent.append(call)


@implementer(ISSLTransport)
class TlsTransport(MemoryTransport):
    """As Twisted's TLS."""

    def getPeerCertificate(self) -> None:
        return None
