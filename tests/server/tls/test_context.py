"""What the server shows to TLS clients, wherever it is from."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import sys
import tempfile
from datetime import datetime, timedelta, timezone
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import skipUnless

import trustme
from attrs import define, field
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from modelserver.config.settings import Settings
from modelserver.rest.dialects.torchserve import TorchServe
from modelserver.server.tls.context import (
    from_keystore,
    identity,
    make_grpc_tls,
    make_tls,
    self_signed,
    server_context,
)
from modelserver.server.tls.first_byte import reactor_options
from modelserver.server.tls.material import Identity, TlsUnusable

HOST = "models.example.org"


@define
class Side:
    """One end of a TLS connection in memory."""

    context: ssl.SSLContext
    is_server: bool
    incoming: ssl.MemoryBIO = field(factory=ssl.MemoryBIO)
    outgoing: ssl.MemoryBIO = field(factory=ssl.MemoryBIO)

    def __attrs_post_init__(self) -> None:
        name = None if self.is_server else HOST
        self.tls = self.context.wrap_bio(self.incoming, self.outgoing, self.is_server, name)

    def step(self) -> bool:
        """Go as far as it goes; returns whether the handshake is over."""
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    tls: Any = field(init=False)


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> Any:
    """
    Connect a client with a server.

    :returns: the client's side.
    :raises ssl.SSLError: they do not agree.
    """
    sides = Side(server, True), Side(client, False)
    for _ in range(10):
        done = [side.step() for side in sides]
        for side, other in (sides, sides[::-1]):
            other.incoming.write(side.outgoing.read())
        if all(done):
            break
    return sides[1].tls


class TlsCase(SynchronousTestCase):
    """An authority, and files in a folder."""

    authority = trustme.CA()
    issued = authority.issue_cert(HOST, key_type=trustme.KeyType.RSA)

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def file(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path

    @property
    def key(self) -> bytes:
        return self.issued.private_key_pem.bytes()

    @property
    def chain(self) -> bytes:
        return b"".join(each.bytes() for each in self.issued.cert_chain_pems)

    def client(self, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        if version is not None:
            context.minimum_version = context.maximum_version = version
        return context

    def refused(self, settings: Settings, *words: str) -> None:
        error = self.assertRaises(TlsUnusable, lambda: server_context(identity(settings)))
        for word in words:
            self.assertIn(word, str(error))


class PemTests(TlsCase):
    """``private_key_file`` and ``certificate_file``."""

    def settings(self, key: bytes | None = None, chain: bytes | None = None) -> Settings:
        return Settings(
            private_key_file=self.file("key.pem", self.key if key is None else key),
            certificate_file=self.file("chain.pem", self.chain if chain is None else chain),
        )

    def test_clients_that_trust_the_authority_connect(self) -> None:
        context = server_context(identity(self.settings()))
        for version, name in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
            self.assertEqual(shake_hands(context, self.client(version)).version(), name)

    def test_older_versions_are_not_spoken(self) -> None:
        context = server_context(identity(self.settings()))
        self.assertEqual(context.minimum_version, ssl.TLSVersion.TLSv1_2)

    def test_keys_as_openssl_writes_them(self) -> None:
        loaded = serialization.load_pem_private_key(self.key, None)
        for kind in (serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL):
            pem = loaded.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption())
            shake_hands(server_context(identity(self.settings(pem))), self.client())

    def test_what_cannot_be_used_is_told(self) -> None:
        other = self.authority.issue_cert("other.example.org").private_key_pem.bytes()
        encrypted = serialization.load_pem_private_key(self.key, None).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"hush"),
        )
        self.refused(self.settings(b"no key"), "cannot be used")
        self.refused(self.settings(chain=b"no certificate"), "cannot be used")
        self.refused(self.settings(other), "cannot be used")
        self.refused(self.settings(encrypted), "encrypted")
        self.refused(Settings(private_key_file=self.file("key.pem", self.key)), "together")
        self.refused(
            Settings(private_key_file=self.folder / "no.pem", certificate_file=self.folder / "no.pem"),
            "private_key_file",
            "No such file",
        )

    def test_the_key_is_not_left_on_disk(self) -> None:
        before = set(Path(tempfile.gettempdir()).glob("modelserver-tls-*"))
        server_context(identity(self.settings()))
        self.assertEqual(set(Path(tempfile.gettempdir()).glob("modelserver-tls-*")), before)

    def test_the_key_does_not_show(self) -> None:
        self.assertNotIn("PRIVATE", repr(identity(self.settings())))


class KeystoreTests(TlsCase):
    """``keystore``."""

    def keystore(self, password: bytes = b"changeit", with_key: bool = True) -> Path:
        leaf, *others = x509.load_pem_x509_certificates(self.chain)
        key = serialization.load_pem_private_key(self.key, None)
        return self.file(
            "keystore.p12",
            pkcs12.serialize_key_and_certificates(
                b"mykey",
                key if with_key else None,  # type: ignore[arg-type]
                leaf,
                others or None,
                serialization.BestAvailableEncryption(password),
            ),
        )

    def test_the_default_password_is_the_peers(self) -> None:
        settings = Settings(keystore=self.keystore())
        shake_hands(server_context(identity(settings)), self.client())

    def test_what_cannot_be_used_is_told(self) -> None:
        self.refused(Settings(keystore=self.keystore(b"other")), "cannot be opened")
        self.refused(Settings(keystore=self.keystore(with_key=False)), "no key")
        self.refused(Settings(keystore=self.file("x.p12", b"rubbish")), "cannot be opened")
        self.refused(Settings(keystore=self.folder / "no.p12"), "No such file")
        error = self.assertRaises(TlsUnusable, from_keystore, self.keystore(), "changeit", "BKS")
        self.assertIn("PKCS12, P12, PFX, JKS, JCEKS", str(error))

    def test_either_type_opens_either_format_as_in_java(self) -> None:
        settings = Settings(keystore=self.keystore(), keystore_type="JKS")
        shake_hands(server_context(identity(settings)), self.client())

    def test_java_format_without_its_package(self) -> None:
        self.addCleanup(sys.modules.pop, "jks", None)
        sys.modules["jks"] = None  # type: ignore[assignment]  # an import of it fails now
        settings = Settings(keystore=self.file("k.jks", b"\xfe\xed\xfe\xed" + bytes(100)))
        self.refused(settings, "pip install 'modelserver[jks]'", "keytool -importkeystore")

    def test_pem_files_go_first(self) -> None:
        settings = Settings(
            keystore=self.folder / "no.p12",
            private_key_file=self.file("key.pem", self.key),
            certificate_file=self.file("chain.pem", self.chain),
        )
        self.assertEqual(identity(settings), Identity(self.key, self.chain))


@skipUnless(find_spec("jks"), "pyjks is not installed: pip install 'modelserver[jks]'")
class JavaKeystoreTests(TlsCase):
    """``keystore`` in Java's own format."""

    def keystore(self, password: str = "changeit", key_password: str = "changeit") -> Path:
        import jks  # type: ignore[import-untyped]  # as the server does

        chain = [
            each.public_bytes(serialization.Encoding.DER)
            for each in x509.load_pem_x509_certificates(self.chain)
        ]
        key = serialization.load_pem_private_key(self.key, None).private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        entry = jks.PrivateKeyEntry.new("mykey", chain, key)
        entry.encrypt(key_password)
        return self.file("k.jks", jks.KeyStore.new("jks", [entry]).saves(password))

    def test_key_and_chain(self) -> None:
        for kind in ("PKCS12", "JKS", "jks"):
            settings = Settings(keystore=self.keystore(), keystore_type=kind)
            shake_hands(server_context(identity(settings)), self.client())

    def test_what_cannot_be_used_is_told(self) -> None:
        import jks

        self.refused(Settings(keystore=self.keystore("other")), "cannot be opened", "password")
        self.refused(Settings(keystore=self.keystore(key_password="other")), "cannot be opened", "password")
        self.refused(Settings(keystore=self.file("x.jks", b"\xfe\xed\xfe\xed")), "cannot be opened")
        empty = self.file("empty.jks", jks.KeyStore.new("jks", []).saves("changeit"))
        self.refused(Settings(keystore=empty), "no key")

    @skipUnless(shutil.which("keytool"), "there is no keytool")
    def test_what_keytool_writes(self) -> None:
        for kind in ("JKS", "JCEKS", "PKCS12"):
            path = self.folder / f"by-keytool.{kind}"
            words = f"keytool -genkeypair -storetype {kind} -keystore {path} -storepass changeit"
            words += " -keypass changeit -alias server -keyalg RSA -dname CN=localhost"
            subprocess.run(words.split(), check=True, capture_output=True, timeout=120)
            shown = identity(Settings(keystore=path, keystore_type=kind))
            server_context(shown)
            (certificate,) = x509.load_pem_x509_certificates(shown.chain)
            self.assertEqual(certificate.subject.rfc4514_string(), "CN=localhost")


class SelfSignedTests(TlsCase):
    """What is made where nothing is configured."""

    def test_is_for_this_host_and_loopback(self) -> None:
        now = datetime(2026, 1, 1, tzinfo=timezone.utc)
        shown = self_signed(HOST, now)
        certificate = x509.load_pem_x509_certificate(shown.chain)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        self.assertEqual(names.get_values_for_type(x509.DNSName), [HOST, "localhost"])
        self.assertEqual(
            [str(each) for each in names.get_values_for_type(x509.IPAddress)], ["127.0.0.1", "::1"]
        )
        self.assertLess(certificate.not_valid_before_utc, now)
        self.assertGreater(certificate.not_valid_after_utc, now + timedelta(days=3000))

    def test_a_client_that_is_given_it_connects(self) -> None:
        shown = self_signed(HOST, datetime.now(timezone.utc))
        client = ssl.create_default_context(cadata=shown.chain.decode("ascii"))
        shake_hands(server_context(shown), client)

    def test_is_new_each_time(self) -> None:
        self.assertNotEqual(identity(Settings()), identity(Settings()))


class MakeTests(TlsCase):
    """Everything together."""

    def test_plain_http_is_refused_in_the_peers_words(self) -> None:
        refusal = make_tls(Settings(), identity(Settings()), TorchServe()).refusal
        self.assertTrue(refusal.startswith(b"HTTP/1.1 403 Forbidden\r\n"))
        self.assertIn(b"\r\nconnection: close\r\n", refusal)
        self.assertTrue(
            refusal.endswith(b'{\n  "status": "This TorchServe instance only accepts HTTPS requests"\n}\n')
        )

    def test_other_reactors_get_the_same_certificate(self) -> None:
        tls = make_tls(Settings(), identity(Settings()), TorchServe())
        shown = x509.load_pem_x509_certificate(tls.shown.chain)
        certificate = reactor_options(tls).certificate
        assert certificate is not None
        self.assertEqual(certificate.to_cryptography(), shown)

    def test_grpc_has_the_same_certificate_and_its_own_protocol(self) -> None:
        shown = self_signed(HOST, datetime.now(timezone.utc))
        over_http, over_grpc = make_tls(Settings(), shown, TorchServe()), make_grpc_tls(Settings(), shown)
        self.assertIs(over_grpc.shown, over_http.shown)
        for offered, of_http, of_grpc in (
            (["h2", "http/1.1"], "http/1.1", "h2"),
            (["h2"], None, "h2"),
            (["http/1.1"], "http/1.1", None),
        ):
            chosen = []
            for tls in (over_http, over_grpc):
                client = ssl.create_default_context(cadata=shown.chain.decode("ascii"))
                client.set_alpn_protocols(offered)
                chosen.append(shake_hands(tls.context, client).selected_alpn_protocol())
            self.assertEqual(chosen, [of_http, of_grpc], offered)

    def test_a_client_of_grpc_that_speaks_no_tls_is_told_nothing(self) -> None:
        """It would not understand an answer over HTTP/1.1."""
        self.assertEqual(make_grpc_tls(Settings(), identity(Settings())).refusal, b"")


class SmallKeyTests(SynchronousTestCase):
    """A key that OpenSSL finds too small."""

    def setUp(self) -> None:
        key = rsa.generate_private_key(65537, 1024)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
        now = datetime.now(timezone.utc)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - timedelta(1))
            .not_valid_after(now + timedelta(1))
            .sign(key, hashes.SHA256())
        )
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        self.shown = Identity(pem, certificate.public_bytes(serialization.Encoding.PEM))

    def test_its_size_and_the_setting_are_told(self) -> None:
        with self.assertRaises(TlsUnusable) as raised:
            server_context(self.shown, 2)
        self.assertIn("has 1024 bits", str(raised.exception))
        self.assertIn("tls_security_level", str(raised.exception))

    def test_it_is_served_as_the_peers_do(self) -> None:
        """Their own tests have such a key; the level at which OpenSSL refuses it is the system's."""
        with capturedLogs() as events:
            context = server_context(self.shown)
        if ssl.create_default_context().security_level > 1:
            self.assertIn("has 1024 bits", "".join(formatEvent(event) for event in events))
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
        self.assertEqual("TLSv1.3", shake_hands(context, client).version())

    def test_the_setting_allows_it(self) -> None:
        self.assertIsInstance(server_context(self.shown, 1), ssl.SSLContext)
