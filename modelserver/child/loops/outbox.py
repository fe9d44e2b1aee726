"""Frames on their way to the server: those of one moment leave in one write."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from modelserver.child.context import Context
from modelserver.child.data.answers import ReplyRow
from modelserver.child.device_memory import DeviceMemory
from modelserver.protocol import frames
from modelserver.protocol.ahead import KEPT_SIZE, KeptAnswers
from modelserver.protocol.answer_rows import pack_answers
from modelserver.protocol.frame_stream import send_all

JOIN = 0.0005
"""Seconds that an answer may wait for the next one, to leave in the same write."""


class Outbox:
    """
    Keeps answers for a moment, and writes to a blocking socket.

    Durations are seconds, times those of ``time.perf_counter``.

    :param answers: where answers wait; in memory that the server sees, it can have them if the next call
        takes long after all. None: in this process's own.
    :param device: what tells of the device's memory; None: this worker has no device.
    """

    __slots__ = ("_ahead", "_answers", "_connection", "_device", "_held", "_held_since", "_mean")

    def __init__(
        self,
        connection: socket.socket,
        answers: KeptAnswers | None = None,
        device: DeviceMemory | None = None,
    ) -> None:
        self._connection = connection
        self._device = device
        self._answers = KeptAnswers(bytearray(KEPT_SIZE)) if answers is None else answers
        self._held: frames.Pieces = []
        self._ahead: frames.Pieces = []
        self._held_since = 0.0
        self._mean = 1.0

    def add(self, number: int, rows: Sequence[ReplyRow], spent: float, now: float) -> None:
        """
        Take the answers to the next jobs of batch ``number``; they leave now unless the next one is near.

        :param spent: how long the handler took.
        """
        self._mean = mean = self._mean + (spent - self._mean) / 8
        if spent > JOIN:
            self.release()  # those of before took less, and shall be counted so
        if not self._answers.keep(number, rows, spent):
            self._send_at_once(number, rows, spent)
            return
        since = self._held_since
        if not since:
            self._held_since = since = now
        if spent > JOIN or now - since + mean > JOIN:
            self.release()

    @property
    def made(self) -> int:
        """How many answers there have been."""
        return self._answers.made

    def lay(self, is_laying: bool) -> None:
        """Tell the server that answers go where their requests lie, or that they were added after that."""
        self._answers.lay(is_laying)

    def add_behind_parts(self, number: int, rows: Sequence[ReplyRow], spent: float) -> None:
        """
        Send the last answers of a streamed batch at once.

        The server sees those that are kept before it reads what is in the socket, where the parts may be.
        """
        self._mean += (spent - self._mean) / 8
        self._send_at_once(number, rows, spent)

    def _send_at_once(self, number: int, rows: Sequence[ReplyRow], spent: float) -> None:
        """Send answers that are not kept, behind those that are."""
        self.release()
        send_all(self._connection, pack_answers(frames.ANSWERS, number, spent, rows))
        self._answers.sent(len(rows))

    def hold(self, pieces: frames.Pieces) -> None:
        """Keep a frame until the next ``release``; answers that are kept by then leave before it."""
        self._held += pieces

    def hold_ahead(self, pieces: frames.Pieces) -> None:
        """Keep a frame until the next ``release``; it leaves before all answers that leave then."""
        self._ahead += pieces

    def hold_metrics(self, context: Context, ahead: bool = False) -> None:
        """
        Keep frames of what the handler has counted since the last time, and of the device's memory.

        :param ahead: they leave before the answers that leave then: who has one finds them in the log.
        """
        held = self._ahead if ahead else self._held
        if self._device is not None and (news := self._device.news()) is not None:
            held.append(news)
        drain = getattr(context.metrics, "drain", None)
        emitted = drain() if drain is not None else None
        if emitted:
            held.append(frames.pack_json(frames.METRICS, {"metrics": emitted}))

    def release(self) -> None:
        """Write all that is kept."""
        answers, held = self._answers, self._held
        if self._ahead:
            ahead, self._ahead = self._ahead, []
            own = [answers.frame()] if answers.count else []
            send_all(self._connection, [*ahead, *own, *held])
            if own:
                answers.sent()
        elif answers.count:
            if held:
                send_all(self._connection, [answers.frame(), *held])
            else:
                self._connection.sendall(answers.frame())
            answers.sent()
        elif held:
            send_all(self._connection, held)
        if held:
            self._held = []
        self._held_since = 0.0
