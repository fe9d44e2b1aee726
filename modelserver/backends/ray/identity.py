"""Who the server is to its nodes: a key pair and a certificate of this run alone."""

from __future__ import annotations

import ssl
from datetime import datetime

from attrs import field
from cryptography import x509

from modelserver.language.attributes import frozen
from modelserver.system.certificates import load_chain, self_signed

NAME = "modelserver"


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
    def make(cls, now: datetime) -> RunIdentity:
        """
        Make a key pair. It takes less than a millisecond.

        :param now: when the certificate becomes valid.
        """
        extensions: list[tuple[x509.ExtensionType, bool]] = [
            (x509.BasicConstraints(ca=True, path_length=0), True),
            (x509.SubjectAlternativeName([x509.DNSName(NAME)]), False),
        ]
        key, certificate = self_signed(NAME, now, extensions)
        return cls(key, certificate.decode())

    def server_context(self) -> ssl.SSLContext:
        """Return the context of the server's side. Blocks."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.num_tickets = 0
        load_chain(context, self.key, self.certificate.encode())
        return context
