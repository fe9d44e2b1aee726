"""
A server whose reactor is watched: run as a program, this is twistd with a ticker in the reactor.

The longest time that the reactor's thread has worked without coming round, in seconds of its own CPU time,
is kept in a file that a test reads (``Turns``). What else runs on the machine does not count.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
import time
from pathlib import Path

from attrs import define, field

VARIABLE = "REACTOR_TURNS"
PROGRAM = Path(__file__)
TICK = 0.002
"""Seconds between two looks: a turn is measured with what else was done in so much time."""
_STATE = struct.Struct("dQ")


@define(eq=False)
class Turns:
    """
    The longest turn of a reactor, in a file that two processes share.

    :param path: made if it is not there.
    """

    path: Path
    _memory: mmap.mmap = field(init=False)

    def __attrs_post_init__(self) -> None:
        with open(self.path, "a+b") as file:
            file.truncate(_STATE.size)
            self._memory = mmap.mmap(file.fileno(), _STATE.size)

    @property
    def longest(self) -> float:
        """Seconds of CPU time since ``forget``."""
        return float(_STATE.unpack(self._memory)[0])

    @property
    def count(self) -> int:
        """How often the reactor came round."""
        return int(_STATE.unpack(self._memory)[1])

    def note(self, seconds: float) -> None:
        """The reactor came round."""
        self._memory[:] = _STATE.pack(max(seconds, self.longest), self.count + 1)

    def forget(self) -> None:
        """Begin anew."""
        self._memory[:] = _STATE.pack(0.0, self.count)


def watch(turns: Turns) -> None:
    """Measure, from when the reactor runs: a timer that is due is called in the next turn."""
    from modelserver.tap import install_reactor

    install_reactor()
    from twisted.internet import asyncioreactor, reactor

    assert isinstance(reactor, asyncioreactor.AsyncioSelectorReactor)
    last = 0.0

    def tick() -> None:
        nonlocal last
        turns.note(time.thread_time() - last)
        reactor.callLater(TICK, tick)
        last = time.thread_time()

    def begin() -> None:
        nonlocal last
        last = time.thread_time()
        tick()

    reactor.callWhenRunning(begin)


if __name__ == "__main__":
    from twisted.scripts.twistd import run

    watch(Turns(Path(os.environ[VARIABLE])))
    sys.path[0] = ""
    run()
