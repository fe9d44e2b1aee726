"""Frames on their way to the server: those of one moment leave in one write."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from modelserver.child.context import Context
from modelserver.child.data.answers import ReplyRow
from modelserver.protocol import frames
from modelserver.protocol.ahead import AheadReceiver
from modelserver.protocol.frame_stream import send_all

JOIN = 0.0005
"""Seconds that an answer may wait for the next one, to leave in the same write."""


class Outbox:
    """
    Keeps answers for a moment, and writes to a blocking socket.

    The server can see those that are kept, if the next call takes long after all.

    Durations are seconds, times those of ``time.perf_counter``.
    """

    __slots__ = (
        *("_ahead", "_answers", "_connection", "_held", "_held_since"),
        *("_mean", "_number", "_rows", "_spent"),
    )

    def __init__(self, connection: socket.socket, ahead: AheadReceiver | None = None) -> None:
        self._connection = connection
        self._ahead = ahead
        self._answers = 0
        self._number = 0
        self._rows: list[ReplyRow] = []
        self._spent = 0.0
        self._held: frames.Pieces = []
        self._held_since = 0.0
        self._mean = 1.0

    def add(self, number: int, rows: Sequence[ReplyRow], spent: float, now: float) -> None:
        """
        Take the answers to the next jobs of a batch; they leave now unless the next answer is near.

        :param number: that of the batch; ``close`` comes before the rows of another one.
        :param spent: how long the handler took.
        """
        self._mean += (spent - self._mean) / 8
        if spent > JOIN:
            self.close()  # those of before took less, and shall be counted so
        self._number = number
        self._rows += rows
        self._answers += len(rows)
        self._spent += spent
        if not self._held_since:
            self._held_since = now
        if spent > JOIN or now - self._held_since + self._mean > JOIN or not self._keep(rows, spent):
            self.release()

    def _keep(self, rows: Sequence[ReplyRow], spent: float) -> bool:
        """Show the server what is kept, for the next call may take long; false where there is no room."""
        return self._ahead is None or self._ahead.keep(self._number, rows, spent)

    def close(self) -> None:
        """Make a frame of the answers that there are."""
        if self._rows:
            rows, self._rows = self._rows, []
            spent, self._spent = int(self._spent * 1e6), 0.0
            self._held += frames.pack_answers(frames.ANSWERS, self._number, spent, rows)

    def hold(self, pieces: frames.Pieces) -> None:
        """Keep a frame until the next ``release``."""
        self._held += pieces

    def hold_metrics(self, context: Context) -> None:
        """Keep a frame of what the handler has counted since the last time, if it has."""
        drain = getattr(context.metrics, "drain", None)
        emitted = drain() if drain is not None else None
        if emitted:
            self._held.append(frames.pack_json(frames.METRICS, {"metrics": emitted}))

    def release(self) -> None:
        """Write all that is kept."""
        self.close()
        if self._held:
            held, self._held, self._held_since = self._held, [], 0.0
            send_all(self._connection, held)
            if self._ahead is not None and self._answers:
                self._ahead.sent(self._answers)
                self._answers = 0
