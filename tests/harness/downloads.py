"""Sources of archives as the server has them, and servers on loopback that answer in raw bytes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.internet import reactor as installed_reactor
from twisted.internet.address import IPv4Address as Endpoint
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHostnameResolver, IPullProducer
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.internet.ssl import Certificate, KeyPair, PrivateCertificate
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.client import BrowserLikePolicyForHTTPS
from zope.interface import implementer

from modelserver.sources.download import Downloader, DownloadLimits
from modelserver.sources.http import HttpSource
from modelserver.sources.pinned_agent import pinned_agent
from modelserver.sources.router import NAME, Sources
from modelserver.sources.s3 import S3Source
from modelserver.sources.store import StoreSource
from modelserver.sources.url_policy import UrlPolicy

reactor: Any = installed_reactor
in_thread: Any = deferToThread
ARCHIVE = os.urandom(3_000_000)
EVERYWHERE = UrlPolicy.parse("file://.*|http(s)?://.*")
LOCALHOST, ELSEWHERE = "127.0.0.1", "127.0.0.2"


def head(*lines: str, status: str = "200 OK") -> bytes:
    """The head of a response."""
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()


def found(location: str) -> bytes:
    """A redirect."""
    return head(f"Location: {location}", "Content-Length: 0", status="302 Found")


def whole(body: bytes) -> bytes:
    """A response that tells the truth."""
    return head(f"Content-Length: {len(body)}") + body


@implementer(IPullProducer)
class Speaker(Protocol):
    """Answers every request by its path, in raw bytes; ``/endless`` goes on until the client is gone."""

    factory: RawServer
    transport: Any
    _received = b""
    _written = 0

    def dataReceived(self, data: bytes) -> None:
        self._received += data
        if not self._received.endswith(b"\r\n\r\n"):
            return
        path = self._received.split(b" ")[1].decode()
        self.factory.requests.append(path)
        if path.startswith("/endless"):
            self.transport.write(head(*self.factory.endless_head))
            self.transport.registerProducer(self, False)
        else:
            self.transport.write(self.factory.pages[path])
            self.transport.loseConnection()

    def resumeProducing(self) -> None:
        self.transport.write(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
        self._written += 1
        if self._written == 1000:  # more than any buffer on the way holds
            self.factory.goes_on.callback(None)

    def stopProducing(self) -> None:
        pass

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.factory.gone.called:
            self.factory.gone.callback(None)


class RawServer(ServerFactory):
    """A server on loopback, on a port that the system chooses."""

    protocol: Any = Speaker
    endless_head = ("Transfer-Encoding: chunked",)

    def __init__(self, pages: Mapping[str, bytes]) -> None:
        self.pages = dict(pages)
        self.requests: list[str] = []
        self.goes_on: Deferred[None] = Deferred()
        self.gone: Deferred[None] = Deferred()


@implementer(IHostnameResolver)
class Names:
    """Each resolution gets the next answer; the last one is repeated."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def resolveHostName(
        self,
        receiver: Any,
        host: str,
        port: int = 0,
        addressTypes: object = None,
        transportSemantics: str = "TCP",
    ) -> Any:
        self.asked.append(host)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        receiver.addressResolved(Endpoint("TCP", answer, port))
        receiver.resolutionComplete()
        return receiver


class DownloadTestCase(TestCase):
    """A store, and servers that end with the test."""

    timeout = 60

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.store = Path(folder.name)

    def serve(
        self, pages: Mapping[str, bytes], interface: str = LOCALHOST, tls: PrivateCertificate | None = None
    ) -> tuple[RawServer, int]:
        """Start a server; gives it and its port."""
        server = RawServer(pages)
        if tls is None:
            port = reactor.listenTCP(0, server, interface=interface)
        else:
            port = reactor.listenSSL(0, server, tls.options(), interface=interface)
        self.addCleanup(port.stopListening)
        return server, port.getHost().port

    def sources(
        self,
        policy: UrlPolicy = EVERYWHERE,
        names: IHostnameResolver | None = None,
        allows: Callable[[IPv4Address | IPv6Address], bool] | None = None,
        limits: DownloadLimits = DownloadLimits(),  # noqa: B008  # a frozen value
        environment: Mapping[str, str] | None = None,
        trust: Certificate | None = None,
    ) -> Sources:
        """The sources as the server has them, on the real reactor with real threads."""
        agent = pinned_agent(
            reactor,
            names or reactor.nameResolver,
            allows or policy.allows_address,
            BrowserLikePolicyForHTTPS(trust),
        )
        downloader = Downloader(agent, reactor, in_thread, policy, limits)
        http = HttpSource(self.store, policy, downloader, in_thread)
        s3 = S3Source(http, environment or {})
        store = StoreSource(self.store, in_thread)
        return Sources(
            store=self.store,
            by_scheme={NAME: store, "file": store, "http": http, "https": http},
            signed={"http": s3, "https": s3},
            policy=policy,
            in_thread=in_thread,
        )

    async def refused(self, waiting: Deferred[Any], *kinds: type[Exception]) -> str:
        """Why a download did not come; nothing of it is left."""
        error = await self.assertFailure(waiting, *kinds)
        self.left_nothing()
        return str(error.reason)

    def left_nothing(self) -> None:
        self.assertEqual(os.listdir(self.store), [])


def certificate_for(name: str) -> tuple[Certificate, PrivateCertificate]:
    """A certificate for a host name that is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pair = KeyPair.load(secret, 1)
    return Certificate.loadPEM(pem), PrivateCertificate.fromCertificateAndKeyPair(
        Certificate.loadPEM(pem), pair
    )
