"""What a worker prints, line by line and bounded: to the log, and the last lines of stderr kept."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable

from attrs import define, field

from modelserver.interfaces import EventLoop

LARGEST_READ = 1 << 16
LONGEST_LINE = 8192
"""Bytes of a line that are read; what follows, up to its end, is dropped."""
LINES_PER_SECOND = 1000
"""Lines that one stream may log in a second: a worker that prints without end must not stop the server."""
KEPT_LINES = 20
"""Lines of stderr that are kept for the reason of a worker's end."""
OUTPUT_NAMESPACE = "modelserver.backends.process"
"""The log namespace of what workers print; the logs put these events into ``model_log.log``."""


@define(eq=False)
class LineLog:
    """
    Cuts a stream into lines, and drops what is too much, saying so.

    :param report: is told each line, decoded, without its end.
    :param seconds: the time, for the bound on lines; without it there is none.
    """

    report: Callable[[str], None]
    seconds: Callable[[], float] = lambda: 0.0
    last: deque[str] = field(factory=lambda: deque(maxlen=KEPT_LINES), init=False)
    _rest: bytes = field(default=b"", init=False)
    _cut: int = field(default=0, init=False)
    _second: float = field(default=0.0, init=False)
    _left: int = field(default=LINES_PER_SECOND, init=False)
    _dropped: int = field(default=0, init=False)

    def data_received(self, data: bytes) -> None:
        """More of the stream."""
        *lines, rest = data.split(b"\n")
        if lines:
            self._end_line(lines[0])
            self._log_lines(lines[1:])
        self._keep(rest)

    def _keep(self, piece: bytes) -> None:
        """Part of a line whose end is not here yet."""
        room = LONGEST_LINE - len(self._rest)
        self._rest += piece[:room]
        self._cut += max(0, len(piece) - room)

    def _end_line(self, piece: bytes) -> None:
        self._keep(piece)
        line, self._rest = self._rest, b""
        cut, self._cut = self._cut, 0
        self._log(line, cut)

    def _log_lines(self, lines: list[bytes]) -> None:
        """Whole lines that came together; of a flood, those that may be logged and the last ones."""
        allowed = self._allowance()
        if len(lines) > allowed + KEPT_LINES:
            self._dropped += len(lines) - allowed - KEPT_LINES
            lines = lines[:allowed] + lines[-KEPT_LINES:]
        for line in lines:
            self._log(line[:LONGEST_LINE], max(0, len(line) - LONGEST_LINE))

    def _allowance(self) -> int:
        now = self.seconds()
        if now - self._second >= 1.0 or not now:
            dropped, self._dropped = self._dropped, 0
            self._second, self._left = now, LINES_PER_SECOND
            if dropped:
                self.report(f"({dropped} lines were dropped: more than {LINES_PER_SECOND} in a second)")
        return self._left

    def _log(self, line: bytes, cut: int) -> None:
        text = line.decode("utf-8", "replace").rstrip("\r")
        if cut:
            text += f" ... ({cut} bytes more)"
        self.last.append(text)
        if self._allowance() > 0:
            self._left -= 1
            self.report(text)
        else:
            self._dropped += 1

    def read_from(self, loop: EventLoop, descriptor: int) -> None:
        """More of a pipe; at its end it is closed."""
        try:
            data = os.read(descriptor, LARGEST_READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self.data_received(data)
        else:
            loop.remove_reader(descriptor)
            os.close(descriptor)
            self.ended()

    def ended(self) -> None:
        """The stream is over: what is left is a line."""
        if self._rest:
            self._end_line(b"")
        if self._dropped:
            self.report(f"({self._dropped} lines were dropped: more than {LINES_PER_SECOND} in a second)")
            self._dropped = 0


def read_lines(loop: EventLoop, descriptor: int, log: LineLog) -> None:
    """Log what comes out of a pipe until it ends; the descriptor is the loop's from now on."""
    os.set_blocking(descriptor, False)
    loop.add_reader(descriptor, lambda: log.read_from(loop, descriptor))
