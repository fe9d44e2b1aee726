"""What a worker prints, line by line and bounded: to the log, and the last lines of stderr kept."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from attrs import define, field

LONGEST_LINE = 8192
KEPT_LINES = 20


@define(eq=False)
class LineLog:
    """
    Cuts a stream into lines; a line longer than ``LONGEST_LINE`` bytes is cut into pieces.

    :param report: is told each line, decoded, without its end.
    """

    report: Callable[[str], None]
    last: deque[str] = field(factory=lambda: deque(maxlen=KEPT_LINES), init=False)
    _rest: bytes = field(default=b"", init=False)

    def data_received(self, data: bytes) -> None:
        """More of the stream."""
        *lines, rest = (self._rest + data).split(b"\n")
        while len(rest) >= LONGEST_LINE:
            lines.append(rest[:LONGEST_LINE])
            rest = rest[LONGEST_LINE:]
        self._rest = rest
        for line in lines:
            self._tell(line)

    def ended(self) -> None:
        """The stream is over: what is left is a line."""
        rest, self._rest = self._rest, b""
        if rest:
            self._tell(rest)

    def _tell(self, line: bytes) -> None:
        for at in range(0, max(1, len(line)), LONGEST_LINE):
            text = line[at : at + LONGEST_LINE].decode("utf-8", "replace").rstrip("\r")
            self.last.append(text)
            self.report(text)
