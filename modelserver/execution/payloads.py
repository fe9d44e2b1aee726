"""What nodes get and answer: bytes, or places in shared memory that go from one worker to the next."""

from __future__ import annotations

import json
from collections.abc import Sequence

from attrs import field

from modelserver.jobs import NOWHERE, Answer, Job, SharedSlot
from modelserver.language.attributes import define, frozen
from modelserver.protocol.shared_memory import LARGE, SharedMemoryPool

Bytes = bytes | bytearray | memoryview


def owned(data: Bytes) -> bytes | bytearray:
    """Return data that stays when the place where a view shows it is somebody else's."""
    return bytes(data) if isinstance(data, memoryview) else data


@define(eq=False)
class Payload:
    """
    Bytes that several nodes may read; the last one that drops them gives their place back.

    :param data: the bytes: a view of the place where there is one.
    :param slot: the place in shared memory, or None.
    """

    data: Bytes
    slot: SharedSlot | None = None
    _holders: int = field(default=1, init=False)

    def __len__(self) -> int:
        return len(self.data)

    def keep(self) -> Payload:
        """Hold it once more; each holder drops it once."""
        self._holders += 1
        return self

    def drop(self) -> None:
        """Hold it no more."""
        self._holders -= 1
        if not self._holders:
            self.data = b""
            if self.slot is not None:
                self.slot.free()


@define(eq=False)
class Loan:
    """
    A payload in shared memory, in the hand of one job.

    The job's answer does not go over its body, for the body may be needed again: by another node, or after
    a failure. Both places stay taken until no worker can touch them, also those of a job that was given up.

    :param body: what the job gets.
    :param room: where its answer may be laid; None: there is no such place.
    """

    payload: Payload
    body: SharedSlot
    room: SharedSlot | None = None

    def answer_of(self, job: Job, answer: Answer) -> Payload | None:
        """Return an answer that lies in the room, which is no longer the job's; None: it lies elsewhere."""
        if self.room is None or not isinstance(answer.body, memoryview):
            return None
        job.hand_over_place()
        self.payload.drop()
        self.room.size = len(answer.body)
        return Payload(answer.body, self.room)


@frozen(eq=False)
class PayloadStore:
    """
    Makes payloads, and lends them to jobs.

    :param slots: memory that workers can read, for large ones; None: there is none.
    """

    slots: SharedMemoryPool | None = None

    def of_request(self, body: bytes | bytearray | SharedSlot) -> Payload:
        """Return the body of a request, which the payload owns from now on."""
        if not isinstance(body, SharedSlot):
            return self.of_bytes(body)
        assert self.slots is not None  # the body lies there
        return Payload(self.slots.view(body), body)

    def of_bytes(self, data: Bytes) -> Payload:
        """Return bytes for workers to read: large ones where they will read them, if there is room."""
        slots = self.slots
        if slots is None or len(data) < LARGE or (slot := slots.put(data)) is None:
            return Payload(owned(data))
        return Payload(slots.view(slot), slot)

    def joined(self, fields: Sequence[tuple[str, Payload]], extra: bytes = b"") -> tuple[Payload, bytes]:
        """
        Return fields one behind the other, and what tells a worker where each is (``JobFlag.FIELDS``).

        :param extra: what the worker is told beside that, a JSON object, or nothing.
        """
        told = json.loads(extra) if extra else {}
        table = json.dumps({"fields": [(name, len(each)) for name, each in fields], **told}).encode()
        pieces = [each.data for _, each in fields]
        size = sum(map(len, pieces))
        slots = self.slots
        if slots is None or size < LARGE or (slot := slots.take(size)) is None:
            return Payload(b"".join(pieces)), table
        view, at = slots.view(slot), 0
        for piece in pieces:
            view[at : at + len(piece)] = piece
            at += len(piece)
        return Payload(view, slot), table

    def lend(self, payload: Payload, slot: SharedSlot) -> Loan:
        """
        Lend a payload to a job, with room for a large answer; the job's body gives it back.

        :param slot: that of the payload.
        """
        payload.keep()
        assert self.slots is not None  # the payload lies there
        room = self.slots.take(0)

        def give_back() -> None:
            payload.drop()
            if room is not None:
                room.free()

        answer_at = NOWHERE if room is None else room.offset
        return Loan(payload, SharedSlot(slot.offset, slot.size, give_back, answer_at), room)
