"""URLs in their normal form: two texts that lead to the same place become one."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import quote, unquote, urljoin

import idna

from modelserver.language.attributes import frozen

LONGEST_URL = 8192
"""Characters; a longer one is malformed, so that no pattern is ever matched against a huge text."""

_URL_LIKE = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_PARTS = re.compile(
    r"([a-z][a-z0-9+.-]*)://([^/?#]*)([^?#]*)(?:\?([^#]*))?(?:#.*)?", re.IGNORECASE | re.DOTALL
)
_AUTHORITY = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::([0-9]*))?")
_NEVER = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})?")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def is_url(text: str) -> bool:
    """Return whether a text is meant as a URL, and not as a name in the model store."""
    return _URL_LIKE.match(text) is not None


def is_remote(text: str) -> bool:
    """Return whether a text is a URL of something that has to be downloaded."""
    return is_url(text) and not text.lower().startswith("file:")


@frozen
class NormalUrl:
    """
    A URL taken apart and brought into its normal form; ``str`` puts it together again.

    Scheme and host are lower case, the host in IDNA or as the one spelling of an address; the default port
    and the fragment are gone; dot segments are resolved; only what must be is percent-encoded.

    :param host: a name, or an address without brackets; empty for ``file``.
    :param port: None for the scheme's default.
    """

    scheme: str
    host: str
    port: int | None
    path: str
    query: str | None = None

    @classmethod
    def parse(cls, text: str) -> NormalUrl:
        """
        Read a URL.

        :raises ValueError: the text is malformed, or two programs could read it differently.
        """
        parts = _PARTS.fullmatch(text)
        if parts is None or len(text) > LONGEST_URL or _NEVER.search(text):
            raise ValueError("not a URL")
        scheme, authority, path, query = parts.groups()
        scheme = scheme.lower()
        host, port = _file_host(authority) if scheme == "file" else _host_and_port(authority)
        path = _without_dots(_normal_escapes(path or "/", "/:@!$&'()*+,;="))
        return cls(
            scheme,
            host,
            None if port == _DEFAULT_PORTS.get(scheme) else port,
            path,
            None if query is None else _normal_escapes(query, "/?:@!$&'()*+,;="),
        )

    def __str__(self) -> str:
        query = "" if self.query is None else f"?{self.query}"
        return f"{self.scheme}://{self.authority}{self.path}{query}"

    @property
    def authority(self) -> str:
        """Return host and port as they stand in a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    @property
    def origin(self) -> tuple[str, str, int | None]:
        """Return what is equal for two URLs of the same server: scheme, host and port."""
        return self.scheme, self.host, self.port

    @property
    def address(self) -> IPv4Address | IPv6Address | None:
        """Return the host as an address, or None if it is a name."""
        try:
            return ip_address(self.host)
        except ValueError:
            return None

    @property
    def file_path(self) -> str:
        """Return the path as a file system has it."""
        return unquote(self.path)

    @property
    def file_name(self) -> str:
        """Return the last component of the path, decoded; it may contain any character."""
        return unquote(self.path.rpartition("/")[2])

    def joined(self, location: str) -> NormalUrl:
        """
        Return where a redirect from this URL leads to.

        :raises ValueError: as ``parse``.
        """
        if _NEVER.search(location):  # urljoin would drop some of these
            raise ValueError("not a URL")
        return NormalUrl.parse(urljoin(str(self), location))


def _file_host(authority: str) -> tuple[str, None]:
    if authority.lower() not in ("", "localhost"):
        raise ValueError("a file on another host")
    return "", None


def _host_and_port(authority: str) -> tuple[str, int | None]:
    match = _AUTHORITY.fullmatch(authority)  # a user's name and password do not match
    if match is None:
        raise ValueError("malformed authority")
    host, digits = match.groups()
    port = int(digits) if digits else None
    if port is not None and not 0 < port < 65536:
        raise ValueError("port out of range")
    return (_ipv6(host[1:-1]) if host.startswith("[") else _name(host)), port


def _ipv6(text: str) -> str:
    if "%" in text:
        raise ValueError("an address with a zone")
    address = IPv6Address(text)
    return str(address.ipv4_mapped or address)


def _name(host: str) -> str:
    """Return a host name in lower-case ASCII, or an IPv4 address in dotted decimal."""
    name = host.lower()
    if not name.isascii():
        name = idna.encode(name, uts46=True).decode("ascii")
    name = name.removesuffix(".")
    labels = name.split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("malformed host")
    return str(_ipv4(labels)) if _NUMBER.fullmatch(labels[-1]) else name


def _ipv4(labels: list[str]) -> IPv4Address:
    """Read the forms that ``inet_aton`` takes: one to four numbers, decimal, octal or hexadecimal."""
    *leading, last = [_number(label) for label in labels]
    if len(leading) > 3 or any(number > 255 for number in leading) or last >= 256 ** (4 - len(leading)):
        raise ValueError("malformed address")
    value = sum(number << (24 - 8 * index) for index, number in enumerate(leading)) + last
    return IPv4Address(value)


def _number(label: str) -> int:
    if not _NUMBER.fullmatch(label):
        raise ValueError("malformed address")
    if label.startswith("0x"):
        return int(label, 16)
    return int(label, 8 if label.startswith("0") else 10)


def _normal_escapes(text: str, safe: str) -> str:
    def normal(match: re.Match[str]) -> str:
        digits = match[1]
        if digits is None:
            raise ValueError("malformed percent-encoding")
        character = chr(int(digits, 16))
        return character if character in _UNRESERVED else match[0].upper()

    return quote(_ESCAPE.sub(normal, text), safe=safe + "%")


def _without_dots(path: str) -> str:
    kept: list[str] = []
    segments = path.split("/")
    for segment in segments:
        if segment == ".." and len(kept) > 1:
            kept.pop()
        elif segment not in (".", ".."):
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/".join(kept)
