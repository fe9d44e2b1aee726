"""Reads one flat JSON object as leniently as the parser of TorchServe and MMS (Gson) does.

https://github.com/google/gson/blob/main/gson/src/main/java/com/google/gson/stream/JsonReader.java
"""

from __future__ import annotations

import json
import re

from modelserver.errors import BadRequest

_SPACE = re.compile(r"\s*")
_STRING = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'", re.DOTALL)
_WORD = re.compile(r"[^\s:=,;{}\[\]\"'#\\/]+")
_ESCAPE = re.compile(r"\\.|\"", re.DOTALL)
_CONSTANTS = {"true": True, "false": False, "null": None}
_UNREADABLE = "The JSON body cannot be read."
_LONGEST = 1 << 13
"""Bytes of a body that is no JSON, and is read all the same."""


def read_object(body: bytes) -> dict[str, object]:
    """
    Return the members of a JSON object; single quotes and names without quotes are taken, too.

    :raises BadRequest: the body is empty, or is no such object.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadRequest(_UNREADABLE) from error
    if not text.strip():
        raise BadRequest("The JSON body is empty.")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        if len(body) > _LONGEST:
            raise BadRequest(_UNREADABLE) from error
        value = _Reader(text).members()
    if not isinstance(value, dict):
        raise BadRequest("The JSON body must be an object.")
    return value


class _Reader:
    """Reads an object of scalars, at one position of a text after the other."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def members(self) -> dict[str, object]:
        """Read the whole text as an object."""
        members: dict[str, object] = {}
        self._expect("{")
        if self._next() != "}":
            self._member(members)
            while self._next() == ",":
                self._at += 1
                self._member(members)
        self._expect("}")
        if self._next():
            raise BadRequest(_UNREADABLE)
        return members

    def _member(self, members: dict[str, object]) -> None:
        name = self._scalar(quoted=str)
        self._expect(":")
        members[name] = self._value()

    def _value(self) -> object:
        word = self._scalar(quoted=_Quoted)
        if isinstance(word, _Quoted):
            return str(word)
        if word.lower() in _CONSTANTS:
            return _CONSTANTS[word.lower()]
        try:
            return json.loads(word)
        except ValueError:
            return word

    def _scalar(self, quoted: type[str]) -> str:
        start = self._next()
        if start in ('"', "'"):
            return quoted(_unescape(self._match(_STRING)[1:-1]))
        return self._match(_WORD)

    def _match(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            raise BadRequest(_UNREADABLE)
        self._at = found.end()
        return found[0]

    def _next(self) -> str:
        self._match(_SPACE)
        return self._text[self._at : self._at + 1]

    def _expect(self, character: str) -> None:
        if self._next() != character:
            raise BadRequest(_UNREADABLE)
        self._at += 1


class _Quoted(str):
    """A word that stood in quotes: it is a text, whatever it looks like."""


def _unescape(text: str) -> str:
    """Return the text of a string literal's inside, whichever quotes it stood in."""
    try:
        value = json.loads('"' + _ESCAPE.sub(_as_json, text) + '"', strict=False)
    except ValueError as error:
        raise BadRequest(_UNREADABLE) from error
    return str(value)


def _as_json(match: re.Match[str]) -> str:
    """Return the inside of single quotes as it is written in double quotes."""
    return {"\\'": "'", '"': '\\"'}.get(match[0], match[0])
