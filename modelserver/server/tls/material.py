"""What TLS listeners are made of. What makes it is loaded only where there is such a listener."""

from __future__ import annotations

import ssl

from attrs import field

from modelserver.language.attributes import frozen

HTTP, GRPC = "http/1.1", "h2"
"""What TLS carries, by ALPN's names."""


@frozen
class TlsUnusable(Exception):
    """The configuration's key or certificate cannot be used."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@frozen
class Identity:
    """
    The key and the certificate of the server.

    :param key: the private key, as PEM.
    :param chain: the certificate and those between it and its root, as PEM.
    """

    key: bytes = field(repr=False)
    chain: bytes


@frozen(eq=False)
class Tls:
    """
    What TLS listeners need.

    :param context: the context of asyncio's transports.
    :param refusal: the answer for a client that speaks plain HTTP; empty: its connection is only closed.
    :param protocol: what TLS carries.
    """

    shown: Identity
    context: ssl.SSLContext
    refusal: bytes
    protocol: str = HTTP
