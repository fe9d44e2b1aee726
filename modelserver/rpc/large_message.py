"""Messages that are read straight to where workers will read them."""

from __future__ import annotations

from modelserver.errors import BadRequest
from modelserver.jobs import SharedSlot
from modelserver.protocol.shared_memory import SharedMemoryPool
from modelserver.rpc.wire.messages import PREFIX

LARGE = 256 << 10
"""Bytes from which on a message is read straight into shared memory."""


class LargeMessage:
    """
    The one message of a call, as far as it has come.

    :param place: where it lies; whoever takes it frees it.
    :param memory: all that has such places.
    :ivar at: where in it the next byte goes.
    :ivar end: where it ends.
    """

    __slots__ = ("_begin", "_memory", "at", "end", "place")

    def __init__(self, place: SharedSlot, memory: memoryview) -> None:
        self.place: SharedSlot | None = place
        self._memory = memory
        self._begin = self.at = place.offset
        self.end = place.offset + place.size

    @property
    def missing(self) -> int:
        """Bytes that have not come."""
        return self.end - self.at

    @classmethod
    def begin(cls, data: bytes, slots: SharedMemoryPool, largest: int) -> LargeMessage | None:
        """
        Return the message that begins in the first piece of a body, if it is a large one and there is room.

        :param largest: bytes that a message may have.
        """
        size = int.from_bytes(data[1:PREFIX], "big")
        if len(data) < PREFIX or data[0] or not LARGE <= size <= largest:
            return None
        place = slots.take(size)
        if place is None:
            return None
        message = cls(place, slots.memory)
        message.add(memoryview(data)[PREFIX:])
        return message

    def add(self, data: bytes | memoryview) -> None:
        """
        Take the next piece.

        :raises BadRequest: it is longer than was announced.
        """
        size = len(data)
        if size > self.missing:
            raise BadRequest("The call has more than one message, where its method takes one.")
        begin = self.at
        self.at = end = begin + size
        self._memory[begin:end] = data

    def skip(self, size: int) -> None:
        """Pass over bytes that nobody waits for: the place may be another's."""
        self.at += size

    def whole(self) -> memoryview:
        """
        Return the message; it may be read until its place is freed.

        :raises BadRequest: not all of it has come.
        """
        if self.missing:
            raise BadRequest("The call ends within its message.")
        return self._memory[self._begin : self.end]

    def take(self) -> SharedSlot | None:
        """Return the place, from now on the caller's to free; None: it was taken before."""
        place, self.place = self.place, None
        return place

    def free(self) -> None:
        """Give the place back, unless somebody has taken it."""
        place = self.take()
        if place is not None:
            place.free()
