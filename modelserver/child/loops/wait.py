"""How a worker waits for its next frame: for a moment awake, where that has paid, then asleep."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable

from modelserver.protocol.frame_stream import FrameReader
from modelserver.protocol.frames import Frame

LOOK = 0.0005
"""
Seconds that a worker looks at its socket before it sleeps.

To wake a sleeping process takes longer than to answer a small request, above all on a virtual processor that
has been halted meanwhile. A client that asks one thing after the other is back before that.
"""
MOST_MISSES = 4
"""Looks in a row that nothing came of, after which the worker sleeps at once."""
NEXT_LOOK = 64
"""Waits after which it tries again."""


class Glance:
    """The socket, without ever blocking."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def recv_into(self, buffer: memoryview, /) -> int:
        """Receive what is there, or raise BlockingIOError."""
        return self._connection.recv_into(buffer, 0, socket.MSG_DONTWAIT)


class SpinThenBlock:
    """
    Waits for frames on a blocking socket; ``reader`` has no whole one.

    :param now: seconds on any clock.
    :param rest: lets others run; called between two looks.
    :param processors: how many there are: with one, whoever looks keeps the other side from writing.
    """

    def __init__(
        self,
        connection: socket.socket,
        reader: FrameReader,
        processors: int,
        now: Callable[[], float] = time.perf_counter,
        rest: Callable[[], object] = os.sched_yield,
    ) -> None:
        self._connection = connection
        self._reader = reader
        self._glance = Glance(connection)
        self._may_look = processors > 1
        self._now = now
        self._rest = rest
        self._misses = 0

    def frame(self, was_alone: bool) -> Frame:
        """
        The next frame.

        :param was_alone: the last one held a single job: only then may a client be about to ask again.
        :raises EOFError: the server closed the socket.
        """
        if was_alone and self._may_look:
            if self._misses < MOST_MISSES:
                found = self._look()
                if found is not None:
                    self._misses = 0
                    return found
            self._misses = (self._misses + 1) % NEXT_LOOK
        return self._reader.wait(self._connection)

    def _look(self) -> Frame | None:
        reader, glance, now = self._reader, self._glance, self._now
        end = now() + LOOK
        while now() < end:
            try:
                if not reader.fill(glance):
                    raise EOFError
            except BlockingIOError:
                self._rest()
                continue
            found = reader.next()
            if found is not None:
                return found
        return None
