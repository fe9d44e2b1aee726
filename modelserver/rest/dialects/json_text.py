"""JSON, times and durations as both peers write them."""

from __future__ import annotations

import json
from datetime import datetime, timezone

JSON_TYPE = (b"content-type", b"application/json")
_encode = json.JSONEncoder(ensure_ascii=False).encode
# What Gson escapes by default; none of these occurs in JSON outside a string.
_HTML_ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>&='"}


def pretty(value: object, escape_html: bool = False) -> bytes:
    """Return JSON with two spaces of indentation and a final newline, as both peers print it."""
    text = _flat(value) if isinstance(value, dict) else None
    if text is None:
        text = json.dumps(value, indent=2, ensure_ascii=False)
    if escape_html:
        text = text.translate(_HTML_ESCAPES)
    # A lone surrogate leaves as the escape \udxxx, which is JSON for it.
    return text.encode("utf-8", "backslashreplace") + b"\n"


def _flat(value: dict[str, object]) -> str | None:
    """
    Return a JSON object of strings and numbers, indented; None for an object that holds others.

    What ``json`` needs to indent are closures in a circle, which each document leaves to the collector:
    too much where thousands of clients are refused.
    """
    if not value or any(isinstance(each, (dict, list, tuple)) for each in value.values()):
        return None
    pairs = [f"  {_encode(name)}: {_encode(each)}" for name, each in value.items()]
    return "{\n" + ",\n".join(pairs) + "\n}"


def timestamp(seconds: float) -> str:
    """Format a time (seconds since the epoch) as ``yyyy-MM-ddTHH:mm:ss.SSSZ`` in UTC."""
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    moment = datetime.fromtimestamp(whole, timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds:03d}Z"


def seconds(duration: float) -> int | float:
    """Return a duration in seconds as the APIs show it: an integer unless it has a fraction."""
    return int(duration) if duration == int(duration) else duration


def milliseconds(duration: float) -> int:
    """Convert a duration in seconds to the milliseconds of the APIs."""
    return round(duration * 1000)
