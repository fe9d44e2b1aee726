"""Who the server is to its nodes: a key pair and a certificate of this run alone."""

from __future__ import annotations

import os
import ssl
from datetime import datetime, timedelta, timezone
from pathlib import Path

from attrs import field, frozen
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

NAME = "modelserver"
_LIFETIME = timedelta(days=3650)
_SLACK = timedelta(days=1)
"""Clocks of nodes differ."""


@frozen
class RunIdentity:
    """
    A key pair that was made for this run, and its certificate.

    :param key: the private key, as PEM.
    :param certificate: the certificate, as PEM: what nodes compare the server's with.
    """

    key: bytes = field(repr=False)
    certificate: str

    @classmethod
    def make(cls) -> RunIdentity:
        """Make a key pair. It takes less than a millisecond."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
        now = datetime.now(timezone.utc)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _SLACK)
            .not_valid_after(now + _LIFETIME)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
            .sign(key, SHA256())
        )
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return cls(pem, certificate.public_bytes(Encoding.PEM).decode())

    def server_context(self, folder: Path) -> ssl.SSLContext:
        """
        Return the context of the server's side.

        :param folder: of the server's own; the key is in it for as long as this takes.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.num_tickets = 0
        file = folder / "node-link.pem"
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with open(descriptor, "wb") as written:
                written.write(self.key + self.certificate.encode())
            context.load_cert_chain(file)
        finally:
            file.unlink()
        return context
