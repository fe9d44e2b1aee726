"""Hides secrets in what people are shown."""

from __future__ import annotations

import re

HIDDEN = "(hidden)"

_SECRET_NAME = re.compile(r"pass(?!es)|secret|credential|(?:api|access|private)_?key$", re.IGNORECASE)
_IN_URL = re.compile(r"(?i)(\b[a-z][a-z0-9+.-]*://)[^\s/?#@,]*@")
_QUERY = re.compile(r"(?i)(\b[a-z][a-z0-9+.-]*://[^\s?#,]*)\?[^\s#,]*")


def is_secret(name: str) -> bool:
    """Return whether the value of a key must not be shown; names of files that hold secrets may be."""
    return _SECRET_NAME.search(name) is not None


def without_secrets(text: str) -> str:
    """Return a text in which URLs have no password and no query: both may let others in."""
    return _QUERY.sub(rf"\1?{HIDDEN}", _IN_URL.sub(rf"\1{HIDDEN}@", text))
