"""Downloads over real sockets, from servers that behave, lie, loop, or never end."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import boto3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.internet import reactor
from twisted.internet.address import IPv4Address as Endpoint
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.interfaces import IHostnameResolver, IPullProducer, IReactorProcess
from twisted.internet.protocol import Factory, ProcessProtocol, Protocol
from twisted.internet.ssl import Certificate, KeyPair, PrivateCertificate
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.client import BrowserLikePolicyForHTTPS
from zope.interface import implementer

from modelserver.errors import ArchiveInvalid, ArchiveNotFound, DownloadFailed
from modelserver.sources.address_policy import is_open
from modelserver.sources.download import Downloader, DownloadLimits
from modelserver.sources.http import HttpSource
from modelserver.sources.pinned_agent import pinned_agent
from modelserver.sources.router import Sources
from modelserver.sources.s3 import S3Source
from modelserver.sources.store import StoreSource
from modelserver.sources.url_policy import UrlPolicy

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

    def connectionLost(self, reason: Failure) -> None:
        if not self.factory.gone.called:
            self.factory.gone.callback(None)


class RawServer(Factory):
    """A server on loopback, on a port that the system chooses."""

    protocol = Speaker
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
        receiver: object,
        host: str,
        port: int = 0,
        addressTypes: object = None,
        transportSemantics: str = "TCP",
    ) -> None:
        self.asked.append(host)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        receiver.addressResolved(Endpoint("TCP", answer, port))
        receiver.resolutionComplete()


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
        downloader = Downloader(agent, reactor, deferToThread, policy, limits)
        http = HttpSource(self.store, policy, downloader, deferToThread)
        s3 = S3Source(http, environment or {})
        return Sources(StoreSource(self.store, deferToThread), http, s3, policy, deferToThread)

    async def refused(self, waiting: Deferred[object], *kinds: type[Exception]) -> str:
        """Why a download did not come; nothing of it is left."""
        error = await self.assertFailure(waiting, *kinds)
        self.left_nothing()
        return str(error.reason)

    def left_nothing(self) -> None:
        self.assertEqual(os.listdir(self.store), [])


class WholeTests(DownloadTestCase):
    """Archives that come."""

    async def test_archive_comes_whole_over_a_redirect_and_goes_on_release(self) -> None:
        server, port = self.serve({"/x.mar": found("/y.mar"), "/y.mar": whole(ARCHIVE)})
        sources = self.sources()
        fetched = await sources.fetch(f"http://{LOCALHOST}:{port}/x.mar")
        self.assertEqual((fetched.path, fetched.downloaded), (self.store / "x.mar", True))
        self.assertEqual(fetched.path.read_bytes(), ARCHIVE)
        self.assertEqual(server.requests, ["/x.mar", "/y.mar"])
        await sources.release(fetched)
        self.left_nothing()

    async def test_many_at_once_download_once(self) -> None:
        server, port = self.serve({"/x.mar": whole(ARCHIVE)})
        sources = self.sources()
        waiting = [sources.fetch(f"http://{LOCALHOST}:{port}/x.mar") for _ in range(20)]
        results = await DeferredList(waiting, fireOnOneErrback=True)
        self.assertEqual((len(server.requests), os.listdir(self.store)), (1, ["x.mar"]))
        for _, fetched in results:
            await sources.release(fetched)
        self.left_nothing()

    async def test_tls_is_for_the_name_and_goes_to_the_checked_address(self) -> None:
        authority, certificate = certificate_for("models.test")
        _, port = self.serve({"/x.mar": whole(ARCHIVE)}, tls=certificate)
        names = Names(LOCALHOST)
        sources = self.sources(names=names, trust=authority)
        fetched = await sources.fetch(f"https://models.test:{port}/x.mar")
        self.assertEqual(fetched.path.read_bytes(), ARCHIVE)
        await sources.release(fetched)
        await self.refused(sources.fetch(f"https://other.test:{port}/x.mar"), DownloadFailed)
        self.assertEqual(names.asked, ["models.test", "other.test"])

    async def test_wrong_sha256(self) -> None:
        _, port = self.serve({"/x.mar": whole(ARCHIVE)})
        waiting = self.sources().fetch(f"http://{LOCALHOST}:{port}/x.mar", sha256="0" * 64)
        await self.refused(waiting, ArchiveInvalid)


class RedirectTests(DownloadTestCase):
    """Redirects that lead where no download may go."""

    async def redirected(self, location: str, policy: UrlPolicy) -> tuple[str, list[str]]:
        """Follow a redirect from a host that may be asked; gives the refusal and what was asked for."""
        server, port = self.serve({"/x.mar": found(location)})
        sources = self.sources(policy, Names(LOCALHOST), allows=lambda address: True)
        waiting = sources.fetch(f"http://models.test:{port}/x.mar")
        return await self.refused(waiting, ArchiveNotFound, DownloadFailed), server.requests

    async def test_to_loopback(self) -> None:
        inner, port = self.serve({"/x.mar": whole(ARCHIVE)})
        for host in (LOCALHOST, "2130706433", "[::ffff:127.0.0.1]", "localhost"):
            location = f"http://{host}:{port}/x.mar"
            reason, _ = await self.redirected(location, UrlPolicy())
            self.assertIn("does not match any allowed URL(s)", reason)
        self.assertEqual(inner.requests, [])

    async def test_out_of_the_patterns(self) -> None:
        inner, port = self.serve({"/x.mar": whole(ARCHIVE)})
        policy = UrlPolicy.parse(r"http://models\.test:\d+/.*")
        await self.redirected(f"http://{LOCALHOST}:{port}/x.mar", policy)
        self.assertEqual(inner.requests, [])

    async def test_to_a_file(self) -> None:
        for policy in (UrlPolicy(), EVERYWHERE):
            reason, _ = await self.redirected("file:///etc/passwd", policy)
            self.assertIn("file:///etc/passwd", reason)

    async def test_in_a_loop(self) -> None:
        reason, requests = await self.redirected("/x.mar", EVERYWHERE)
        self.assertEqual((reason, len(requests)), ("more than 5 redirects", 6))


class NameTests(DownloadTestCase):
    """Names that lead to other addresses than they should."""

    async def test_name_of_this_host(self) -> None:
        server, port = self.serve({"/x.mar": whole(ARCHIVE)})
        sources = self.sources(UrlPolicy(), Names(LOCALHOST), is_open)
        await self.refused(sources.fetch(f"http://models.test:{port}/x.mar"), ArchiveNotFound)
        self.assertEqual(server.requests, [])

    async def test_name_that_answers_twice_differently(self) -> None:
        """One address stands for an open one here, the other for one that is refused."""
        outer, port = self.serve({"/x.mar": whole(ARCHIVE), "/again.mar": found("/x.mar")})
        names = Names(LOCALHOST, ELSEWHERE)
        sources = self.sources(UrlPolicy(), names, lambda address: address == ip_address(LOCALHOST))
        fetched = await sources.fetch(f"http://models.test:{port}/x.mar")
        self.assertEqual((len(names.asked), outer.requests), (1, ["/x.mar"]))
        await sources.release(fetched)
        names.answers = [LOCALHOST, ELSEWHERE]
        await self.refused(sources.fetch(f"http://models.test:{port}/again.mar"), ArchiveNotFound)
        self.assertEqual((len(names.asked), outer.requests), (3, ["/x.mar", "/again.mar"]))


class LiarTests(DownloadTestCase):
    """Servers that lie, or never come to an end."""

    async def test_content_length_that_lies(self) -> None:
        for length in (len(ARCHIVE) + 1, len(ARCHIVE) - 1, 10):
            _, port = self.serve({"/x.mar": head(f"Content-Length: {length}") + ARCHIVE})
            await self.refused(self.sources().fetch(f"http://{LOCALHOST}:{port}/x.mar"), DownloadFailed)

    async def test_endless_body(self) -> None:
        server, port = self.serve({})
        waiting = self.sources(limits=DownloadLimits(size=1 << 20)).fetch(
            f"http://{LOCALHOST}:{port}/endless.mar"
        )
        self.assertEqual(await self.refused(waiting, DownloadFailed), f"larger than {1 << 20} bytes")
        await server.gone

    async def test_body_that_is_endless_by_its_own_word(self) -> None:
        server, port = self.serve({})
        server.endless_head = (f"Content-Length: {10**15}",)
        waiting = self.sources().fetch(f"http://{LOCALHOST}:{port}/endless.mar")
        await self.refused(waiting, DownloadFailed)
        await server.gone

    async def test_endless_body_when_nobody_waits_any_more(self) -> None:
        server, port = self.serve({"/missing/endless.mar": head(status="404 Not Found")})
        sources = self.sources()
        waiting = sources.fetch(f"http://{LOCALHOST}:{port}/endless.mar")
        await server.goes_on
        waiting.cancel()
        await self.assertFailure(waiting, CancelledError)
        await server.gone
        # The next download to the same file waits until nothing is left of the last one.
        next_one = sources.fetch(f"http://{LOCALHOST}:{port}/missing/endless.mar")
        await self.refused(next_one, DownloadFailed)

    async def test_body_that_stops(self) -> None:
        _, port = self.serve({"/x.mar": head("Content-Length: 5") + b"abc"})
        await self.refused(self.sources().fetch(f"http://{LOCALHOST}:{port}/x.mar"), DownloadFailed)

    async def test_nobody_listens(self) -> None:
        port = reactor.listenTCP(0, Factory(), interface=LOCALHOST)
        number = port.getHost().port
        await port.stopListening()
        await self.refused(self.sources().fetch(f"http://{LOCALHOST}:{number}/x.mar"), DownloadFailed)


class MotoProtocol(ProcessProtocol):
    """A moto server, whose port is in what it logs."""

    def __init__(self) -> None:
        self.listening: Deferred[str] = Deferred()
        self.ended: Deferred[None] = Deferred()
        self._said = b""

    def outReceived(self, data: bytes) -> None:
        self._said += data
        url = re.search(rb"Running on (http://127\.0\.0\.1:\d+)", self._said)
        if url is not None and not self.listening.called:
            self.listening.callback(url[1].decode())

    errReceived = outReceived

    def processEnded(self, reason: Failure) -> None:
        reason.trap(ProcessDone, ProcessTerminated)
        if not self.listening.called:
            self.listening.errback(RuntimeError(self._said.decode()))
        self.ended.callback(None)


class S3Tests(DownloadTestCase):
    """An object under SSE-KMS, behind a server that checks signatures."""

    async def start(self) -> str:
        """Start moto; it checks signatures after the six calls that ``fill`` makes."""
        moto = MotoProtocol()
        process = IReactorProcess(reactor).spawnProcess(
            moto,
            sys.executable,
            [sys.executable, "-m", "moto.server", "-H", LOCALHOST, "-p", "0"],
            {**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": "6"},
        )

        def stop() -> Deferred[None]:
            if not moto.ended.called:
                process.signalProcess("KILL")
            return moto.ended

        self.addCleanup(stop)
        return await moto.listening

    async def test_signed_archive(self) -> None:
        url = await self.start()
        key_id, secret = await deferToThread(fill, url)
        archive = f"{url}/models/noop.mar"
        environment = {
            "AWS_ACCESS_KEY_ID": key_id,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_DEFAULT_REGION": "eu-west-1",
        }
        sources = self.sources(environment=environment)
        self.assertEqual(await self.refused(sources.fetch(archive), DownloadFailed), "code: 403")
        wrong = self.sources(environment={**environment, "AWS_SECRET_ACCESS_KEY": "wrong"})
        self.assertEqual(await self.refused(wrong.fetch(archive, signed=True), DownloadFailed), "code: 403")
        fetched = await sources.fetch(archive, signed=True)
        self.assertEqual(fetched.path.read_bytes(), ARCHIVE)
        await sources.release(fetched)
        self.left_nothing()


def fill(url: str, archive: bytes = ARCHIVE) -> Sequence[str]:
    """Put the archive under SSE-KMS into a bucket; gives the id and secret of a key that may read it."""
    client = partial(
        boto3.client,
        endpoint_url=url,
        region_name="eu-west-1",
        aws_access_key_id="root",
        aws_secret_access_key="root",
    )
    iam, s3 = client("iam"), client("s3")
    policy = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [policy]})
    iam.create_user(UserName="reader")
    key = iam.create_access_key(UserName="reader")["AccessKey"]
    iam.put_user_policy(UserName="reader", PolicyName="read", PolicyDocument=document)
    kms_key = client("kms").create_key()["KeyMetadata"]["KeyId"]
    s3.create_bucket(Bucket="models", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    stored = s3.put_object(
        Bucket="models",
        Key="noop.mar",
        Body=archive,
        ServerSideEncryption="aws:kms",
        SSEKMSKeyId=kms_key,
    )
    assert stored["ServerSideEncryption"] == "aws:kms"
    return key["AccessKeyId"], key["SecretAccessKey"]


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
