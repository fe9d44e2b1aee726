"""Key pairs, certificates that they sign themselves, and OpenSSL's contexts with them."""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Iterable
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import NameOID

LIFE, SLACK = timedelta(days=3650), timedelta(days=1)
"""How long a certificate is valid, and how much sooner: the clocks of others differ."""


def self_signed(
    name: str, now: datetime, extensions: Iterable[tuple[x509.ExtensionType, bool]]
) -> tuple[bytes, bytes]:
    """
    Make a key and its certificate, both as PEM.

    :param name: the common name.
    :param now: from when on it is valid.
    :param extensions: each with whether it is critical.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SLACK)
        .not_valid_after(now + LIFE)
    )
    for extension, is_critical in extensions:
        builder = builder.add_extension(extension, is_critical)
    certificate = builder.sign(key, hashes.SHA256())
    return key_pem(key), certificate.public_bytes(serialization.Encoding.PEM)


def key_pem(key: PrivateKeyTypes) -> bytes:
    """Return a private key as PEM, unencrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def load_chain(context: ssl.SSLContext, key: bytes, chain: bytes) -> None:
    """
    Have a context show a certificate, of which all is PEM. Blocks.

    :raises ssl.SSLError, ValueError: the key is malformed, encrypted, or not the certificate's.
    """
    # OpenSSL wants a file; mkstemp's is for its owner's eyes only, and gone at once.
    descriptor, name = tempfile.mkstemp(prefix="modelserver-tls-")
    try:
        with open(descriptor, "wb") as file:
            file.write(key + b"\n" + chain)
        context.load_cert_chain(name, password=_no_password)
    finally:
        os.unlink(name)


def _no_password() -> str:
    """Keep OpenSSL from asking for a password at the terminal."""
    raise ValueError("the key is encrypted")
