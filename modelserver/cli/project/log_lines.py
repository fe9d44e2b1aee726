"""Which of the lines that a server writes are for somebody who writes a handler, and how they are shown."""

from __future__ import annotations

import re
from pathlib import Path

from rich.text import Text

from modelserver.language.attributes import frozen

_LINE = re.compile(r"\S+ \[(?P<source>[\w.]+)#(?P<level>\w+)\] (?P<text>.*)")
HANDLER, REQUESTS = "modelserver.backends.process", "modelserver.tracing.request_lines"
_ALWAYS_SAID = re.compile(r"\[PID\]\d+|Torch worker started\.|MXNet worker started\.|Model server started\.")
_UNPACKED = re.compile(r"/\S*?/models/[0-9a-f]{32}/[^/\s]+")
_EDGE = re.compile(r"(?: *│)+$")
"""The right edge of the boxes around code and variables."""
_STATUS = re.compile(r" (\d{3}) ")
_LOUD = {"warn": "yellow", "error": "red", "critical": "red"}
_TOLD_OTHERWISE = ("allowed_urls is not set", "Load model failed", "Auto recovery failed", "Retry worker")
"""Beginnings of warnings that say nothing here, or what this program says itself."""


@frozen
class DevelopmentLines:
    """
    Shows what the handler prints, what each request spent its time on, and what went wrong.

    :param folder: of the project, told in the place of the one that the server uses.
    """

    folder: Path

    def shown(self, line: str) -> Text | None:
        """Return a line as it is to be shown, or None."""
        found = _LINE.fullmatch(line)
        if found is None:
            return Text(self._with_folder(line))
        source, level, text = found["source"], found["level"], found["text"]
        if source == HANDLER:
            return None if _ALWAYS_SAID.fullmatch(text) else Text(self._with_folder(text))
        if source == REQUESTS:
            return _request(text)
        if level in _LOUD and not text.startswith(_TOLD_OTHERWISE):
            return Text(self._with_folder(text), style=_LOUD[level])
        return None

    def _with_folder(self, text: str) -> str:
        """Return a text with the paths of the project's own folder; the frames of tracebacks stay in line."""
        told = _UNPACKED.sub(str(self.folder), text)
        edge = _EDGE.search(told)
        if told == text or edge is None:
            return told
        inner = told[: edge.start()].rstrip()
        return inner.ljust(len(text) - len(edge[0])) + edge[0]


def _request(text: str) -> Text | None:
    """Return the line of a request; those of this program itself are left out."""
    if "/models" in text:
        return None
    found = _STATUS.search(text)
    is_failed = found is not None and not found[1].startswith("2")
    return Text(text, style="red" if is_failed else "green")
