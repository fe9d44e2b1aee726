"""Texts for clients, made of what was written for terminals."""

from __future__ import annotations

import re

_ESCAPES = re.compile(
    r"""
      (?:\x1b\[ | \x9b) [0-?]* [ -/]* [@-~]?  # control sequences: colours, the cursor
    | (?:\x1b[\]PX^_] | [\x90\x98\x9d\x9e\x9f])  # strings: titles, links
      [^\x07\x1b\x9c\n]* (?:\x07 | \x1b\\ | \x9c)?
    | \x1b [ -/]* [0-~]?  # all others
    """,
    re.VERBOSE,
)


def without_escapes(text: str) -> str:
    """
    Return a text without the escape sequences that terminals know (ECMA-48).

    Torch colours its error texts, for example; in a JSON body the colours are noise, and a client that prints
    the text lets a handler's exception act on its terminal.
    """
    return _ESCAPES.sub("", text)
