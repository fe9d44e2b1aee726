"""TLS on the transports of Twisted's own reactors; clients that speak plain HTTP get an answer."""

from __future__ import annotations

from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from OpenSSL.crypto import X509, PKey
from twisted.internet.interfaces import IAddress, IDelayedCall, IProtocol, IReactorTime, ITCPTransport
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.internet.ssl import CertificateOptions
from twisted.protocols.policies import WrappingFactory
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from modelserver.server.tls.acceptor import HANDSHAKE_BYTE, HANDSHAKE_TIMEOUT, LINGER
from modelserver.server.tls.material import Tls


class FirstByteFactory(WrappingFactory):
    """
    Builds what waits for a connection's first byte; what TLS carries is another factory's.

    :param wrapped: of the protocols that speak inside TLS.
    """

    noisy = False
    most_silent = 1024
    """Connections that may be without their first byte; the oldest goes for one more."""

    def __init__(self, wrapped: ServerFactory, tls: Tls, clock: IReactorTime) -> None:
        super().__init__(wrapped)  # type: ignore[no-untyped-call]  # Twisted's
        self.refusal = tls.refusal
        self.clock = clock
        self._silent: dict[FirstByte, None] = {}
        self._secure = TLSMemoryBIOFactory(reactor_options(tls), False, wrapped, clock)

    def buildProtocol(self, addr: IAddress) -> FirstByte:  # type: ignore[override]  # Twisted's own wraps at once
        """Build what waits for the first byte; the inner protocol comes only when the client speaks TLS."""
        return FirstByte(self, addr)

    def wait_for(self, silent: FirstByte) -> None:
        """Count a connection that has not sent anything yet; one too many closes the oldest."""
        if len(self._silent) >= self.most_silent:
            next(iter(self._silent)).give_up()
        self._silent[silent] = None

    def forget(self, silent: FirstByte) -> None:
        """Count a connection no more: it has sent a byte, or is closed."""
        self._silent.pop(silent, None)

    def secure(self, address: IAddress) -> IProtocol | None:
        """Return the TLS protocol around the inner one, or None if there are too many connections."""
        carried = self.wrappedFactory.buildProtocol(address)
        return None if carried is None else self._secure.protocol(self._secure, carried)


class FirstByte(Protocol):
    """Gives its transport to TLS, or refuses once and reads what still comes until the client has closed."""

    def __init__(self, owner: FirstByteFactory, address: IAddress) -> None:
        self._owner = owner
        self._address = address
        self._timer: IDelayedCall | None = None
        self._is_refused = False

    @property
    def _stream(self) -> ITCPTransport:
        return cast(ITCPTransport, self.transport)

    def _wait(self, seconds: float) -> None:
        self._stop_waiting()
        self._timer = self._owner.clock.callLater(seconds, self._stream.abortConnection)

    def _stop_waiting(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def connectionMade(self) -> None:
        """Start the timer of the first byte."""
        self._owner.wait_for(self)
        self._wait(HANDSHAKE_TIMEOUT)

    def give_up(self) -> None:
        """Close the connection: its first byte did not come in time."""
        self._owner.forget(self)
        self._stream.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        """Decide by the first byte; after a refusal, what comes is dropped."""
        if self._is_refused:
            return
        self._owner.forget(self)
        if data[:1] != HANDSHAKE_BYTE:
            self._is_refused = True
            self._wait(LINGER)
            self._stream.write(self._owner.refusal)
            self._stream.loseWriteConnection()
            return
        self._stop_waiting()
        secure = self._owner.secure(self._address)
        if secure is None:
            self._stream.abortConnection()
            return
        self._stream.protocol = secure  # type: ignore[attr-defined]  # where all of Twisted's transports have it
        secure.makeConnection(self._stream)
        secure.dataReceived(data)

    def connectionLost(self, reason: Failure | None = None) -> None:
        """Forget the connection."""
        self._owner.forget(self)
        self._stop_waiting()


def reactor_options(tls: Tls) -> CertificateOptions:
    """Return what a listener's context is, for the transports of Twisted's own reactors."""
    certificate, *others = x509.load_pem_x509_certificates(tls.shown.chain)
    return CertificateOptions(
        PKey.from_cryptography_key(serialization.load_pem_private_key(tls.shown.key, None)),  # type: ignore[arg-type]  # any private key, in truth
        X509.from_cryptography(certificate),
        extraCertChain=[X509.from_cryptography(each) for each in others],
        acceptableProtocols=[tls.protocol.encode()],
    )
