"""
Keeps pages of other origins from changing a server without tokens (cross-site request forgery).

A browser sends whatever form a page has, to any address that the user's machine reaches, and a name of the
page's own may lead to this machine (DNS rebinding). It tells of both: by ``Origin``, ``Sec-Fetch-Site`` and
``Host``, which no script of a page can set (https://fetch.spec.whatwg.org/#forbidden-request-header).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Iterable

from modelserver.errors import PageRefused
from modelserver.language.attributes import frozen

LOCALHOST = "localhost"
_OWN_SITES = (b"same-origin", b"none")
_LONGEST_SHOWN = 100


@frozen
class PageGuard:
    """
    Decides whether the header of a request lets it change the server.

    Programs that are no browsers send no ``Origin``; what they send as ``Host`` is an address, ``localhost``,
    or a name that the operator has allowed.

    :param allowed: hosts whose pages may change the server, and under which it may be reached, in lower case,
        with a port or without one.
    :param names: further names under which it may be reached; pages from there are as any other's.
    :param checks_host: whether ``Host`` matters: no name leads to a Unix socket.
    :param on_refused: told of each refusal.
    """

    allowed: Collection[str] = ()
    checks_host: bool = True
    on_refused: Callable[[PageRefused], object] | None = None
    names: Collection[str] = ()

    def check(self, host: bytes | None, origins: Iterable[bytes] = (), sites: Iterable[bytes] = ()) -> None:
        """
        Let a request pass that no page of another origin has sent.

        :param host: the value of ``Host``; None: it was sent without one, by no browser.
        :param origins: the values of ``Origin``.
        :param sites: the values of ``Sec-Fetch-Site``.
        :raises PageRefused: such a page sent it, or may have.
        """
        try:
            self._check(host, origins, sites)
        except PageRefused as refused:
            if self.on_refused is not None:
                self.on_refused(refused)
            raise

    def _check(self, host: bytes | None, origins: Iterable[bytes], sites: Iterable[bytes]) -> None:
        own = _readable(host or b"")
        if self.checks_host and host is not None and not self._is_own_name(own):
            raise PageRefused(f"Host: {own}", _name_of(own))
        is_allowed = False
        for origin in map(_readable, origins):
            authority = _authority_of(origin)
            is_allowed = bool(authority) and self._is_allowed(authority)
            if not is_allowed and (not authority or authority != own):
                raise PageRefused(f"Origin: {origin}", authority)
        for site in sites:
            # Another origin of the same site is another page, too.
            if site.strip().lower() not in _OWN_SITES and not is_allowed:
                raise PageRefused(f"Sec-Fetch-Site: {_readable(site)}")

    def _is_own_name(self, authority: str) -> bool:
        name = _name_of(authority)
        return name == LOCALHOST or name in self.names or _is_address(name) or self._is_allowed(authority)

    def _is_allowed(self, authority: str) -> bool:
        return authority in self.allowed or _name_of(authority) in self.allowed


def _readable(value: bytes) -> str:
    """Return a value in lower case, cut, without what a terminal or a reader might take for more."""
    text = value.decode("ascii", "replace").strip().lower()
    return "".join(letter if letter.isprintable() else "?" for letter in text[:_LONGEST_SHOWN])


def _authority_of(origin: str) -> str:
    """Return host and port of an origin; empty for ``null``, which pages without an origin send."""
    scheme, separator, authority = origin.partition("://")
    return authority if separator and scheme in ("http", "https") else ""


def _name_of(authority: str) -> str:
    """Return the host of a ``Host`` field, without its port and the dot at its end."""
    if authority.startswith("["):
        return authority.partition("]")[0] + "]"
    return authority.partition(":")[0].rstrip(".")


def _is_address(name: str) -> bool:
    """Return whether a host is an address. What ends in a number is one, or nothing, to every browser."""
    if not name.startswith("["):
        return name.rpartition(".")[2].isdigit()
    try:
        ipaddress.IPv6Address(name.strip("[]").partition("%")[0])
    except ValueError:
        return False
    return True
