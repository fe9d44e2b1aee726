"""What a worker prints, line by line and bounded: to the log, and the last lines of stderr kept."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable

from attrs import define, field

from modelserver.interfaces import EventLoop

LARGEST_READ = 1 << 16
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

    def _tell(self, line: bytes) -> None:
        for at in range(0, max(1, len(line)), LONGEST_LINE):
            text = line[at : at + LONGEST_LINE].decode("utf-8", "replace").rstrip("\r")
            self.last.append(text)
            self.report(text)


def read_lines(loop: EventLoop, descriptor: int, log: LineLog) -> None:
    """Log what comes out of a pipe until it ends; the descriptor is the loop's from now on."""
    os.set_blocking(descriptor, False)
    loop.add_reader(descriptor, lambda: log.read_from(loop, descriptor))
