"""Which URLs archives may come from: the operator's patterns, or a default that excludes the host itself."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address

from modelserver.errors import ArchiveNotFound, UrlInvalid
from modelserver.language.attributes import frozen
from modelserver.sources.address_policy import is_open
from modelserver.sources.urls import NormalUrl

SCHEMES = ("file", "http", "https")


@frozen
class UrlPolicy:
    """
    The setting ``allowed_urls`` as one value.

    With patterns, a URL needs one that matches the whole of its normal form, and may then lead to any
    address. Without, ``file``, ``http`` and ``https`` are allowed, to public and private-network addresses.

    :param patterns: None for the default.
    """

    patterns: tuple[re.Pattern[str], ...] | None = None

    @classmethod
    def parse(cls, setting: str | None) -> UrlPolicy:
        """
        Read the comma-separated patterns of the setting; None is the default policy.

        :raises ValueError: a pattern is not a regular expression.
        """
        if setting is None:
            return cls()
        try:
            return cls(tuple(re.compile(pattern.strip(), re.IGNORECASE) for pattern in setting.split(",")))
        except re.error as error:
            raise ValueError(f"allowed_urls: {error.pattern!r} is no pattern: {error}") from error

    @property
    def is_default(self) -> bool:
        """Return whether the operator has set no patterns."""
        return self.patterns is None

    def check(self, url: str) -> NormalUrl:
        """
        Return the normal form of an allowed URL.

        :raises UrlInvalid: the URL is malformed.
        :raises ArchiveNotFound: the URL is not allowed.
        """
        try:
            normal = NormalUrl.parse(url)
        except ValueError as error:
            raise UrlInvalid(url) from error
        if not self._allows(normal):
            raise refusal(url)
        return normal

    def check_redirect(self, url: NormalUrl, location: str) -> NormalUrl:
        """
        Return where a redirect leads to, checked as a URL of its own.

        :raises ArchiveNotFound: the target is not allowed, or is a file.
        """
        try:
            normal = url.joined(location)
        except ValueError as error:
            raise refusal(location) from error
        if normal.scheme == "file":
            raise refusal(location)
        return self.check(str(normal))

    def allows_address(self, address: IPv4Address | IPv6Address) -> bool:
        """Return whether a URL that passed ``check`` may lead to this address."""
        return self.patterns is not None or is_open(address)

    def _allows(self, url: NormalUrl) -> bool:
        if url.scheme not in SCHEMES:
            return False
        if self.patterns is not None:
            return any(pattern.fullmatch(str(url)) for pattern in self.patterns)
        if url.address is not None:
            return is_open(url.address)
        return url.host != "localhost" and not url.host.endswith(".localhost")


def refusal(url: str) -> ArchiveNotFound:
    """Return the error for a URL that is not allowed."""
    return ArchiveNotFound(url, f"Given URL {url} does not match any allowed URL(s)")
