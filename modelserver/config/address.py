"""Where a listener is bound, as the peers write it: ``http://``, ``https://`` or ``unix:/path``."""

from __future__ import annotations

import ipaddress
import re

from modelserver.language.attributes import frozen

_BINDING = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^:/\s\[\]]+)(?::(?P<port>[0-9]{1,9}))?",
    re.IGNORECASE,
)
_NAME = re.compile(r"[^:/\s\[\]]+")
_UNIX = re.compile(r"unix:(?P<path>/.+)")
_LAST_PORT = 65535


@frozen
class Address:
    """
    One binding address.

    :param scheme: ``http``, ``https`` or ``unix``; ``grpc`` or ``grpcs`` (with TLS) for gRPC.
    :param host: the interface, an IPv6 one without its brackets; empty for ``unix``.
    :param port: 0 lets the system choose (and for ``unix``).
    :param unix_path: the socket's path, or empty.
    """

    scheme: str
    host: str = ""
    port: int = 0
    unix_path: str = ""

    @property
    def is_tls(self) -> bool:
        """Return whether the listener speaks TLS."""
        return self.scheme in ("https", "grpcs")

    def __str__(self) -> str:
        if self.scheme == "unix":
            return f"unix:{self.unix_path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def parse_address(text: str, http: int, https: int) -> Address:
    """
    Read a binding address.

    :param http: the port of ``http://`` where none is written.
    :param https: the same for ``https://``.
    :raises ValueError: with the peers' text.
    """
    unix = _UNIX.fullmatch(text)
    if unix is not None:
        return Address("unix", unix_path=unix["path"])
    binding = _BINDING.fullmatch(text)
    if binding is None:
        raise ValueError(f"Invalid binding address: {text}")
    scheme = binding["scheme"].lower()
    default = https if scheme == "https" else http
    port = default if binding["port"] is None else int(binding["port"])
    if port > _LAST_PORT:
        raise ValueError(f"Invalid port number: {text}")
    return Address(scheme, binding["host"].strip("[]"), port)


def parse_interface(text: str) -> Address:
    """
    Read where a listener is bound whose port has a key of its own: an address, a name or ``unix:/path``.

    :raises ValueError: it is none of them.
    """
    unix = _UNIX.fullmatch(text)
    if unix is not None:
        return Address("unix", unix_path=unix["path"])
    host = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if ":" in host:
        return Address("grpc", str(ipaddress.IPv6Address(host)))
    if _NAME.fullmatch(text) is None:
        raise ValueError(f"Invalid address: {text}")
    return Address("grpc", text)
