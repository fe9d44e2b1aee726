"""The files of the page: read once, from the package, and served with what lets browsers keep them."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from modelserver.language.attributes import frozen

PAGE = "index.html"
_FOLDER = Path(__file__).with_name("page")
_TYPES = {
    ".html": b"text/html; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".svg": b"image/svg+xml",
    ".txt": b"text/plain; charset=utf-8",
}

PROTECTION: tuple[tuple[bytes, bytes], ...] = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
    ),
    (b"x-frame-options", b"DENY"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
"""Fields of every answer of the dashboard: nothing from elsewhere runs in it, and it in no frame."""
KEPT_BY_BROWSERS = b"no-cache"
"""What ``Cache-Control`` says of a file: keep it, and ask each time whether it is still the same."""


@frozen
class Asset:
    """
    One file.

    :param tag: its entity tag: another one as soon as a byte is another one.
    """

    body: bytes
    kind: bytes
    tag: bytes

    def is_known(self, tags: bytes | None) -> bool:
        """Return whether an ``If-None-Match`` names this file as it is."""
        given = [tag.strip().removeprefix(b"W/") for tag in (tags or b"").split(b",")]
        return self.tag in given or given == [b"*"]


def load_assets(folder: Path = _FOLDER) -> Mapping[str, Asset]:
    """
    Read the files of the page, by their names. Blocks; a server does this once, at its start.

    :raises OSError: the package is not whole.
    """
    return {path.name: _asset(path) for path in sorted(folder.rglob("*")) if path.suffix in _TYPES}


def _asset(path: Path) -> Asset:
    body = path.read_bytes()
    return Asset(body, _TYPES[path.suffix], b'"%b"' % sha256(body).hexdigest()[:32].encode("ascii"))
