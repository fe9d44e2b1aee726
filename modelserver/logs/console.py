"""The server's standard output: a reader that stops reading costs lines, and holds nobody up."""

from __future__ import annotations

import atexit
import os
import select
import stat
import sys
from collections import deque
from contextlib import suppress
from threading import Condition, Thread
from typing import TextIO, cast

from attrs import field
from twisted.logger import ILogObserver, Logger, textFileLogObserver

from modelserver.language.attributes import define, frozen
from modelserver.metrics.log_lines import one_line
from modelserver.protocol.plain_text import without_escapes

MOST_WAITING = 1 << 20
"""Bytes that wait for a reader; what is more is dropped until all of them are read."""
LAST_WAIT = 1.0
"""Seconds that the lines of the end have to be read."""

_log = Logger()


@define(eq=False)
class Console:
    """
    Writes to a descriptor, from a thread of its own where a write may block: a pipe, a socket, a terminal.

    The descriptor is not made non-blocking, for others share it (the shell, other programs of a pipeline).
    Lines that find no room are counted; that they are dropped, and how many were, is logged.

    :param most: bytes that may wait to be written.
    """

    descriptor: int
    most: int = MOST_WAITING
    _queue: deque[bytes] = field(factory=deque, init=False)
    _size: int = field(default=0, init=False)
    _dropped: int = field(default=0, init=False)
    _changed: Condition = field(factory=Condition, init=False)
    _thread: Thread | None = field(default=None, init=False)
    _is_over: bool = field(default=False, init=False)

    @property
    def dropped(self) -> int:
        """Lines that were dropped since the last one that had room."""
        return self._dropped

    def write(self, text: str) -> None:
        """Write whole lines, at once or soon; never wait, never raise."""
        data = text.encode("utf-8", "backslashreplace")
        if not may_block(self.descriptor) or self._fits(data):
            # An error: nobody is there to read it any more, or never was.
            with suppress(OSError):
                _write_all(self.descriptor, data)
        elif self._put(data):
            if dropped := self._take_dropped():
                _log.warn("{count} lines for standard output were dropped: nobody read it", count=dropped)
        else:
            is_first = not self._dropped
            self._dropped += max(1, text.count("\n"))
            if is_first:
                _log.warn("Nobody reads standard output: lines for it are dropped")

    def flush(self) -> None:
        """Lines are on their way already."""

    def close(self) -> None:
        """Wait a moment for the last lines to be read."""
        with self._changed:
            self._is_over = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(LAST_WAIT)

    def _fits(self, data: bytes) -> bool:
        """
        Whether a pipe takes so little without waiting, and nothing waits.

        So the last lines of the process are written before it ends. A pipe that can be written has room for
        ``PIPE_BUF`` bytes.
        """
        if self._size or self._dropped or len(data) > select.PIPE_BUF or not is_pipe(self.descriptor):
            return False
        poll = select.poll()
        poll.register(self.descriptor, select.POLLOUT)
        return bool(poll.poll(0))

    def _take_dropped(self) -> int:
        dropped, self._dropped = self._dropped, 0
        return dropped

    def _put(self, data: bytes) -> bool:
        """Queue lines for the thread, if there is room; after a loss, only once everything is read."""
        with self._changed:
            if self._size and (self._dropped or self._size + len(data) > self.most):
                return False
            self._queue.append(data)
            self._size += len(data)
            self._changed.notify()
        if self._thread is None:
            self._thread = Thread(target=self._run, name="standard output", daemon=True)
            self._thread.start()
        return True

    def _run(self) -> None:
        """Write what is queued, in the thread."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._is_over)
                if not self._queue:
                    return
                data = b"".join(self._queue)
                self._queue.clear()
            with suppress(OSError):
                _write_all(self.descriptor, data)
            with self._changed:
                self._size -= len(data)


def console_observer() -> ILogObserver:
    """
    Return what twistd's own observer of standard output is, but that nobody waits for a reader, and nothing
    is told of one who is gone.
    """
    console = Console(sys.stdout.fileno())
    # The last lines are logged after everything of this server is over.
    atexit.register(console.close)
    return textFileLogObserver(cast(TextIO, PlainLines(console)))  # it writes and flushes, and no more


@frozen
class PlainLines:
    """Writes events to a console so that nothing in them steers a terminal: handlers print what they like."""

    console: Console

    def write(self, text: str) -> None:
        """Write the lines of an event."""
        if not text.removesuffix("\n").isprintable():
            text = "\n".join([one_line(without_escapes(line)) for line in text.split("\n")])
        self.console.write(text)

    def flush(self) -> None:
        """Lines are on their way already."""


def may_block(descriptor: int) -> bool:
    """Return whether a write may have to wait for a reader: not with a file, and not with ``/dev/null``."""
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and (not stat.S_ISCHR(mode) or os.isatty(descriptor))


def is_pipe(descriptor: int) -> bool:
    """Return whether this is an end of a pipe."""
    try:
        return stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    except OSError:
        return False


def _write_all(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(descriptor, left) :]
        except BlockingIOError:
            # Somebody who has the same terminal or pipe has made it non-blocking.
            select.select([], [descriptor], [])
