"""What a worker prints, line by line and bounded: to the log, and the last lines of stderr kept."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable

from attrs import field
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from modelserver.backends.output_limits import OutputBudget, OutputLimits
from modelserver.interfaces import EventLoop
from modelserver.language.attributes import define
from modelserver.spec import WorkerSpec

LARGEST_READ = 1 << 14
"""Bytes that are read in one turn of the event loop: many short lines are milliseconds of work."""
LAST_READS = 64
"""Reads after the end of a worker, when its pipes are closed: what a pipe can hold, and more."""
KEPT_LINES = 20
"""Lines of stderr that are kept for the reason of a worker's end."""
KEPT_LENGTH = 8192
"""Characters of a kept line."""
REDRAWN_EVERY = 1.0
"""Seconds between two states of a line that is drawn again and again, as progress bars are."""
OUTPUT_NAMESPACE = "modelserver.backends.process"
"""The log namespace of what workers print; the logs put these events into ``model_log.log``."""

_log = Logger(namespace=OUTPUT_NAMESPACE)


def tell_line(spec: WorkerSpec, stream: str, line: str) -> None:
    """Log a line that a worker has printed."""
    version = spec.version
    _log.info(
        "{line}",
        line=line,
        stream=stream,
        model=version.name,
        version=version.version,
        worker=spec.id,
    )


@define(eq=False)
class LineLog:
    r"""
    Cuts a stream into lines, and drops what is too much, saying so at once.

    A line that is drawn anew after each ``\r`` is logged as it is now and then, and as it was last.

    :param report: is told each line, decoded, without its end.
    :param clock: for the limits of a second, and for states that nothing follows; None: neither.
    """

    report: Callable[[str], None]
    clock: IReactorTime | None = None
    limits: OutputLimits = field(factory=OutputLimits)
    last: deque[str] = field(factory=lambda: deque(maxlen=KEPT_LINES), init=False)
    _budget: OutputBudget = field(init=False)
    _rest: bytearray = field(factory=bytearray, init=False)
    _cut: int = field(default=0, init=False)
    # A carriage return was last: what comes decides whether it belongs to the end of the line.
    _returned: bool = field(default=False, init=False)
    _is_redrawn: bool = field(default=False, init=False)
    _unshown: str = field(default="", init=False)
    _shown: str = field(default="", init=False)
    _shown_at: float | None = field(default=None, init=False)
    _timer: IDelayedCall | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._budget = OutputBudget(self.limits, self._seconds)

    def _seconds(self) -> float:
        return 0.0 if self.clock is None else self.clock.seconds()

    def data_received(self, data: bytes) -> None:
        """More of the stream."""
        *lines, rest = data.split(b"\n")
        if lines:
            self._end_line(lines[0])
            self._log_lines(lines[1:])
        self._keep(rest)

    def _keep(self, piece: bytes) -> None:
        """Part of a line whose end is not here yet."""
        first, *redrawn = piece.split(b"\r")
        self._append(first)
        for state in redrawn:
            self._returned = True
            self._append(state)
        if self._returned and self._rest:
            self._soon()

    def _append(self, piece: bytes) -> None:
        if not piece:
            return
        if self._returned:
            self._overwrite()
        room = self.limits.longest_line - len(self._rest)
        self._rest += piece[:room]
        self._cut += max(0, len(piece) - room)
        if self._is_redrawn:
            self._soon()

    def _end_line(self, piece: bytes) -> None:
        self._keep(piece)
        text, is_redrawn = self._take(), self._is_redrawn
        if is_redrawn:
            self._show_state()
        if not is_redrawn or (text.strip() and text != self._shown):
            self._log(text)
        self._is_redrawn, self._shown = False, ""

    def _take(self) -> str:
        """Take what there is of a line."""
        text = _decoded(self._rest, self._cut)
        self._rest, self._cut, self._returned = bytearray(), 0, False
        return text

    def _log_lines(self, lines: list[bytes]) -> None:
        """Whole lines that came together; of a flood, those that may be logged and the last ones."""
        allowed = self._allowed()
        if len(lines) > allowed + KEPT_LINES:
            self._log_each(lines[:allowed])
            self._drop(len(lines) - allowed - KEPT_LINES)
            lines = lines[-KEPT_LINES:]
        self._log_each(lines)

    def _log_each(self, lines: list[bytes]) -> None:
        longest = self.limits.longest_line
        for line in lines:
            if b"\r" in line:
                self._end_line(line)
            else:
                self._log(_decoded(line[:longest], len(line) - longest))

    def _allowed(self) -> int:
        if told := self._budget.renew():
            self.report(told)
        return self._budget.lines

    def _log(self, text: str, is_kept: bool = True) -> None:
        if is_kept:
            self.last.append(text[:KEPT_LENGTH])
        self._allowed()
        if self._budget.take(len(text)):
            self.report(text)
        else:
            self._drop(1)

    def _drop(self, count: int) -> None:
        is_first = not self._budget.dropped
        self._budget.dropped += count
        if is_first:
            self.report(f"(lines are dropped: {self._budget.reason})")
            self._soon()

    # A line that is drawn again and again.

    def _overwrite(self) -> None:
        """What there is of the line was a state of it, and the next one comes."""
        state = self._take()
        self._is_redrawn = True
        if state.strip():
            self._unshown = state
            if self._wait_for_redrawn() <= 0:
                self._show_state()

    def _wait_for_redrawn(self) -> float:
        return 0.0 if self._shown_at is None else self._shown_at + REDRAWN_EVERY - self._seconds()

    def _show_state(self) -> None:
        """Log the state that the line had last, if that is not done yet."""
        state, self._unshown = self._unshown, ""
        if state and state != self._shown:
            self._shown, self._shown_at = state, self._seconds()
            self._log(state, is_kept=False)

    # What must be said although nothing more comes.

    def _soon(self) -> None:
        if self.clock is not None and self._timer is None:
            wait = self._budget.left if self._budget.dropped else self._wait_for_redrawn()
            self._timer = self.clock.callLater(max(0.0, wait), self._tell_late)

    def _tell_late(self) -> None:
        self._timer = None
        self._allowed()
        if self._is_redrawn or self._returned:
            self._is_redrawn = True
            if self._rest.strip():
                self._unshown = _decoded(self._rest, self._cut)
            self._show_state()

    def ended(self) -> None:
        """The stream is over: what is left is a line."""
        if self._rest or self._unshown:
            self._end_line(b"")
        if told := self._budget.settle():
            self.report(told)
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()


def _decoded(line: bytes | bytearray, cut: int) -> str:
    text = line.decode("utf-8", "replace")
    return f"{text} ... ({cut} bytes more)" if cut > 0 else text


@define(eq=False)
class OutputPipe:
    """
    Our end of a pipe that a worker prints into.

    :param descriptor: the read end, which is the pipe's from now on.
    """

    loop: EventLoop
    descriptor: int
    log: LineLog
    is_open: bool = field(default=True, init=False)

    def open(self) -> None:
        """Log what comes until the pipe ends."""
        os.set_blocking(self.descriptor, False)
        self.loop.add_reader(self.descriptor, self.read)

    def read(self) -> bool:
        """Take more of the pipe, and close it at its end; whether there was something."""
        if not self.is_open:
            return False
        try:
            data = os.read(self.descriptor, LARGEST_READ)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if data:
            self.log.data_received(data)
            return True
        self._close()
        return False

    def drain(self) -> None:
        """Take what is in the pipe; of one that is still written into, as much as a full pipe has."""
        for _ in range(LAST_READS):
            if not self.read():
                return

    def close(self) -> None:
        """Take what is in the pipe, and close it although others may hold its other end."""
        self.drain()
        if self.is_open:
            self._close()

    def _close(self) -> None:
        self.is_open = False
        self.loop.remove_reader(self.descriptor)
        os.close(self.descriptor)
        self.log.ended()
