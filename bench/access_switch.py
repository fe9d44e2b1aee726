"""
Switches a server's access log off and on many times a second, and adds up what requests cost either way.

Put into a server process by ``bench.access_log``: turns this short share whatever else the machine does, so
that their sums can be compared where single measurements cannot.
"""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from types import FrameType

from attrs import define, field

from modelserver.logs.layouts import Asked
from modelserver.logs.writer import AccessLogWriter

TURN = 0.25
"""Seconds of each turn."""
WIDTH = 256
"""Bytes of the file with the sums, which is written over and over."""


@define(eq=False)
class Switch:
    """
    Counts requests and CPU seconds of this process, with the access log off (0) and on (1).

    :param file: a descriptor; the sums are written to it after each turn.
    """

    file: int
    requests: list[int] = field(factory=lambda: [0, 0])
    seconds: list[float] = field(factory=lambda: [0.0, 0.0])
    is_on: bool = True
    _mark: float = 0.0
    _log: AccessLogWriter | None = None

    def install(self) -> None:
        """Take the access log's place, and begin to switch."""
        note = AccessLogWriter.record

        def record(
            log: AccessLogWriter, remote: str, asked: Asked, status: int, spent: float, request_id: bytes
        ) -> None:
            self._log = log
            self.requests[self.is_on] += 1
            if self.is_on:
                note(log, remote, asked, status, spent, request_id)

        AccessLogWriter.record = record  # type: ignore[method-assign, assignment]  # in this process only
        self._mark = time.process_time()
        signal.signal(signal.SIGALRM, self.turn)
        signal.setitimer(signal.ITIMER_REAL, TURN, TURN)

    def turn(self, number: int, frame: FrameType | None) -> None:
        """End a turn; the lines that still wait belong to it."""
        if self.is_on and self._log is not None:
            for waiting in (self._log, self._log.own, self._log.root):
                waiting.flush()
        self.seconds[self.is_on] += time.process_time() - self._mark
        self.is_on = not self.is_on
        text = json.dumps({"requests": self.requests, "seconds": self.seconds})
        os.pwrite(self.file, text.ljust(WIDTH).encode("ascii"), 0)
        self._mark = time.process_time()


def install(path: Path) -> None:
    """Begin; the sums are in ``path``."""
    Switch(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)).install()
