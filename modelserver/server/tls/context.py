"""The server's TLS identity: from PEM files, from a key store, or made on the spot; and its TLS context."""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
from collections.abc import Iterable
from datetime import datetime, timezone
from http import HTTPStatus
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID
from twisted.logger import Logger

from modelserver.config.settings import Settings
from modelserver.dialect_rules import DIALECTS
from modelserver.http1.responses import reply
from modelserver.interfaces import Dialect
from modelserver.server.tls.material import GRPC, HTTP, Identity, Tls, TlsUnusable
from modelserver.system import certificates
from modelserver.system.certificates import key_pem, load_chain

KEYSTORE_TYPES = ("PKCS12", "P12", "PFX", "JKS", "JCEKS")
_JAVA_STORES = (b"\xfe\xed\xfe\xed", b"\xce\xce\xce\xce")
_BITS_OF_LEVEL_1 = 1024

_log = Logger()


def make_tls(settings: Settings, shown: Identity, dialect: Dialect) -> Tls:
    """
    Make what listeners of HTTPS need. Blocks.

    :raises TlsUnusable: the configuration's key or certificate cannot be used.
    """
    name = DIALECTS[dialect.name].title
    told = dialect.status(f"This {name} instance only accepts HTTPS requests", HTTPStatus.FORBIDDEN)
    context = server_context(shown, settings.tls_security_level)
    return Tls(shown, context, reply(os.urandom(16), told, close=True))


def make_grpc_tls(settings: Settings, shown: Identity) -> Tls:
    """
    Make what listeners of gRPC over TLS need. Blocks.

    :raises TlsUnusable: the configuration's key or certificate cannot be used.
    """
    return Tls(shown, server_context(shown, settings.tls_security_level, GRPC), b"", GRPC)


def identity(settings: Settings) -> Identity:
    """
    The identity of the configuration: ``private_key_file`` and ``certificate_file``, or ``keystore``; a new
    one, signed by itself, where there is neither. Blocks.

    :raises TlsUnusable: a file cannot be read, or is not what it should be.
    """
    key, certificate = settings.private_key_file, settings.certificate_file
    if key is not None and certificate is not None:
        return Identity(_read(key, "private_key_file"), _read(certificate, "certificate_file"))
    if key is not None or certificate is not None:
        raise TlsUnusable("private_key_file and certificate_file are needed together")
    if settings.keystore is not None:
        return from_keystore(settings.keystore, settings.keystore_pass, settings.keystore_type)
    return self_signed(socket.gethostname(), datetime.now(timezone.utc))


def _read(path: Path, key: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as why:
        raise TlsUnusable(f"{key}={path} cannot be read: {why.strerror}") from why


def from_keystore(path: Path, password: str, kind: str = "PKCS12") -> Identity:
    """
    Take the first key entry of a PKCS #12 file, or of a Java key store (JKS, JCEKS).

    What the file is, its first bytes say, as they do for Java, where either type opens either format.

    :raises TlsUnusable: the file cannot be read, or holds no key with a certificate.
    """
    if kind.upper() not in KEYSTORE_TYPES:
        raise TlsUnusable(f"keystore_type={kind} is not one of {', '.join(KEYSTORE_TYPES)}")
    content = _read(path, "keystore")
    try:
        if content.startswith(_JAVA_STORES):
            return _from_java(content, password)
        return _from_pkcs12(content, password)
    except ValueError as why:
        raise TlsUnusable(f"keystore={path} cannot be opened: {why}") from why


def _from_pkcs12(content: bytes, password: str) -> Identity:
    store = pkcs12.load_pkcs12(content, password.encode("utf-8"))
    if store.key is None or store.cert is None:
        raise ValueError("it holds no key with a certificate")
    return _identity(store.key, [each.certificate for each in (store.cert, *store.additional_certs)])


def _from_java(content: bytes, password: str) -> Identity:
    try:
        import jks  # type: ignore[import-untyped]  # an extra
    except ImportError:
        raise ValueError(
            "it is in Java's own format: pip install 'modelserver[jks]', "
            "or convert it with keytool -importkeystore -deststoretype PKCS12"
        ) from None
    try:
        store = jks.KeyStore.loads(content, password, try_decrypt_keys=False)
        for entry in store.private_keys.values():
            entry.decrypt(password)
            chain = [x509.load_der_x509_certificate(der) for _, der in entry.cert_chain]
            return _identity(serialization.load_der_private_key(entry.pkey_pkcs8, None), chain)
    except jks.util.KeystoreException as why:
        raise ValueError(str(why) or type(why).__name__) from why
    raise ValueError("it holds no key with a certificate")


def _identity(key: PrivateKeyTypes, chain: Iterable[x509.Certificate]) -> Identity:
    return Identity(key_pem(key), b"".join(each.public_bytes(serialization.Encoding.PEM) for each in chain))


def self_signed(host: str, now: datetime) -> Identity:
    """
    Make a self-signed identity, for this host and for loopback.

    :param now: the moment at which the certificate becomes valid.
    """
    names: list[x509.GeneralName] = [
        x509.DNSName(each) for each in dict.fromkeys((host, "localhost")) if each
    ]
    names += [x509.IPAddress(ipaddress.ip_address(each)) for each in ("127.0.0.1", "::1")]
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.SubjectAlternativeName(names), False),
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
    ]
    return Identity(*certificates.self_signed(host[:64] or "localhost", now, extensions))


def server_context(
    shown: Identity, security_level: int | None = None, protocol: str = HTTP
) -> ssl.SSLContext:
    """
    Return a context for servers with TLS 1.2 and 1.3. Blocks.

    :param security_level: OpenSSL's, which says how large keys have to be; None: its own default, or 1 with a
        warning for a key of 1024 bits, with which the peers serve.
    :param protocol: what TLS carries, by ALPN's name.
    :raises TlsUnusable: the key is malformed, encrypted, too small, or not the certificate's.
    """
    try:
        return _context(shown, security_level, protocol)
    except (ssl.SSLError, ValueError) as why:
        if not _is_too_small(why):
            raise TlsUnusable(f"the TLS key and certificate cannot be used: {why}") from why
        bits = _bits(shown)
        if security_level is None and bits >= _BITS_OF_LEVEL_1:
            _log.warn(
                "The TLS certificate's key has {bits} bits: too few for most clients of today. It is served "
                "with tls_security_level=1; make a larger one.",
                bits=bits,
            )
            return server_context(shown, 1, protocol)
        raise TlsUnusable(
            f"the TLS certificate's key has {bits} bits, too few for OpenSSL's security level; "
            "make a larger one, or set tls_security_level (1 takes keys of 1024 bits, 0 any)"
        ) from why


def _context(shown: Identity, security_level: int | None, protocol: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols([protocol])
    if security_level is not None:
        context.set_ciphers(f"DEFAULT:@SECLEVEL={security_level}")
    load_chain(context, shown.key, shown.chain)
    return context


def _is_too_small(why: Exception) -> bool:
    return isinstance(why, ssl.SSLError) and (why.reason or "").endswith("KEY_TOO_SMALL")


def _bits(shown: Identity) -> int:
    """Return the size of the smallest key of the chain."""
    keys = [each.public_key() for each in x509.load_pem_x509_certificates(shown.chain)]
    return min(key.key_size for key in keys if hasattr(key, "key_size"))
