"""Parts of answers on their way to the server, while the handler is still at work."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence

from modelserver.child.context import RequestProcessor
from modelserver.child.data.answers import encode, part_body, part_rows
from modelserver.child.failures import ClientsGone
from modelserver.child.loops.batch_in_hand import BatchInHand
from modelserver.child.loops.calls import MORE_FOLLOWS
from modelserver.child.loops.inbox import Inbox
from modelserver.child.loops.outbox import Outbox
from modelserver.protocol import frames
from modelserver.protocol.answer_head import EMPTY
from modelserver.protocol.answer_rows import ANSWER_ROW, pack_rows
from modelserver.protocol.frame_stream import send_all
from modelserver.protocol.parts import LOOKING, RING_SIZE, SAID, PartsWriter

NOBODY = RequestProcessor(b"")
NOBODY.is_told = False  # its own, as those have it that it is compared with


PAUSE, LOOKS = 0.0003, 20
"""Seconds between two looks for room, and how many there are before a part goes through the socket."""
LARGE_PART = RING_SIZE // 4
"""Bytes of a part that is as well sent through the socket, if there is no room for it."""


class PartsOut:
    """
    Sends the parts of one batch after the other; a part leaves at once, whatever comes behind it.

    The first part brings status and headers; the others are bodies alone, unless the handler sets some anew.

    :param laid: memory in which the server sees parts; None: all of them go through the socket.
    :param largest: bytes that one part may have.
    """

    __slots__ = ("_batch", "_connection", "_inbox", "_laid", "_largest", "_made", "_outbox", "_single")

    def __init__(
        self,
        batch: BatchInHand,
        inbox: Inbox,
        outbox: Outbox,
        connection: socket.socket,
        laid: PartsWriter | None,
        largest: int,
    ) -> None:
        self._batch = batch
        self._inbox = inbox
        self._outbox = outbox
        self._connection = connection
        self._laid = laid
        self._largest = largest
        self._made = 0
        self._single = NOBODY
        """The only request of a batch whose parts are laid; of others, one that is told nothing."""

    def send(self, parts: Sequence[object]) -> None:
        """
        Send one part to each request of the batch, as soon as their clients can take it.

        :raises ClientsGone: every client has left.
        :raises ValueError: there is not one part for each request, or one cannot be serialized.
        """
        if len(parts) == 1 and self._single.is_told:  # nearly all
            part, laid = parts[0], self._laid
            try:
                body = part.encode() if type(part) is str else encode(part)
                if len(body) <= self._largest and laid is not None and laid.lay_next(body):
                    if not laid.words[LOOKING] and laid.announces(self._made):
                        self._announce()
                    return
            except (TypeError, ValueError, RecursionError):
                pass  # it is told below
        self._send(parts)

    def _send(self, parts: Sequence[object]) -> None:
        batch, laid = self._batch, self._laid
        is_first = not batch.has_parts
        data: bytes | bytearray
        if is_first:
            batch.made_processors()
            count, data = self._with_heads(parts, True)
        elif len(parts) == 1 == len(batch.refused) and (processor := batch.processors[0]).is_told:
            count, data = 0, part_body(parts[0], processor, self._largest)
        else:
            count, data = self._with_heads(parts, False)
        inbox = self._inbox
        if laid is None or laid.words[SAID] != inbox.heard or inbox.stopped == batch.number:
            self._listen()
        if inbox.gone and batch.is_deserted(inbox.gone):
            raise ClientsGone("the client has left")
        if is_first:
            batch.has_parts = True
            self._outbox.release()
            self._made = self._outbox.made
        if laid is None or not self._lay(laid, count, data):
            self._send_frame(count, data)
            return
        if not laid.words[LOOKING] and laid.announces(self._made):
            self._announce()
        if not count:
            self._go_on(laid)

    def _lay(self, laid: PartsWriter, count: int, data: bytes | bytearray) -> bool:
        """
        Lay a part; return whether there was room, for which the server is given some time.

        It is behind by all that there is room for. Were it sent frames, of which each costs it as much as ten
        parts, it would fall behind for good.
        """
        number = self._batch.number
        if laid.lay(self._made, number, count, data):
            return True
        if len(data) >= LARGE_PART or laid.is_shut:
            return False
        if laid.announces(self._made):
            self._announce()
        for _ in range(LOOKS):
            time.sleep(PAUSE)
            if laid.is_half_empty:
                return laid.lay(self._made, number, count, data)
        return False

    def _go_on(self, laid: PartsWriter) -> None:
        """Let further parts for a single request go a shorter way, while nothing about them is unusual."""
        processor, inbox = self._batch.processors[0], self._inbox
        if processor.encode is None and inbox.stopped != self._batch.number:
            self._single = processor
            laid.begin_run(self._made, self._batch.number, inbox.heard)

    def ended(self) -> None:
        """Have the next batch begin with a first part: that which had parts is answered."""
        self._single = NOBODY
        if self._laid is not None:
            self._laid.end_run()

    def _announce(self) -> None:
        self._connection.sendall(frames.pack_bare(frames.PART, self._batch.number))

    def _with_heads(self, parts: Sequence[object], is_first: bool) -> tuple[int, bytes]:
        """Return how many rows there are, and these."""
        batch = self._batch
        processors = batch.processors
        if is_first:
            for processor in processors:
                processor.add_response_property(MORE_FOLLOWS, "true")
        own = part_rows(parts, processors, self._largest)
        for processor, (_, part) in zip(processors, own, strict=True):
            # An empty part does not get to the client, nor does its head.
            processor.is_told = bool(part.body) and part.status not in EMPTY
        rows = batch.with_refused(own)
        return len(rows), b"".join(pack_rows(batch.number, 0, rows))

    def _listen(self) -> None:
        """Hear what the server has said about clients; while those of the batch take no more, wait."""
        batch, inbox = self._batch, self._inbox
        inbox.hear(wait=False)
        while inbox.stopped == batch.number and not batch.is_deserted(inbox.gone):
            self._outbox.release()
            inbox.hear(wait=True)

    def _send_frame(self, count: int, data: bytes | bytearray) -> None:
        number = self._batch.number
        pieces: frames.Pieces = [data]
        if not count:
            count = 1
            pieces.insert(0, ANSWER_ROW.pack(number, 0, 200, 0, len(data), 0))
        size = sum(map(len, pieces))
        send_all(self._connection, [frames.pack_header(size, frames.PART, 0, count, number), *pieces])
        if self._laid is not None:
            self._laid.frame_sent()
