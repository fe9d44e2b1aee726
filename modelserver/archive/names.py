"""What models and versions may be called: names stand in URLs, in labels of metrics and in log lines."""

from __future__ import annotations

import re

LONGEST = 255
"""Bytes of UTF-8."""

UNFIT = r"\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069"
"""Control characters, ends of lines and what turns a line's direction, for a class of a pattern."""

NAME = re.compile(rf"(?!\.\.?$)[^/{UNFIT}]{{1,{LONGEST}}}")
"""
The shape of names, as API documents show it.

TorchServe and MMS serve any text, and cannot reach a name with a slash. Dots alone are path segments that
clients resolve themselves.
"""

RULE = f"1 to {LONGEST} bytes without slashes and control characters, and neither . nor .."
"""The same in words."""

_UNFIT = re.compile(f"[{UNFIT}]")


def is_name(text: str) -> bool:
    """Return whether a model or a version may have this name."""
    if NAME.fullmatch(text) is None:
        return False
    try:
        return len(text.encode("utf-8")) <= LONGEST
    except UnicodeEncodeError:  # half a surrogate pair
        return False


def is_shown(text: str) -> bool:
    """Return whether a text can stand in a log line, and be sent, as it is."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return _UNFIT.search(text) is None
