"""Messages that are read straight to where workers will read them."""

from __future__ import annotations

from modelserver.errors import BadRequest
from modelserver.jobs import SharedSlot
from modelserver.protocol.shared_memory import SharedMemoryPool
from modelserver.rpc.wire.messages import PREFIX

LARGE = 256 << 10
"""Bytes from which on that is worth it."""


class LargeMessage:
    """
    The one message of a call, as far as it has come.

    :param place: where it lies; whoever takes it frees it.
    :ivar missing: bytes that have not come.
    """

    __slots__ = ("_room", "_view", "missing", "place")

    def __init__(self, place: SharedSlot, view: memoryview) -> None:
        self.place: SharedSlot | None = place
        self._view = view
        self._room = view
        self.missing = len(view)

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
        message = cls(place, slots.view(place))
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
        self._room[:size] = data
        self._room = self._room[size:]
        self.missing -= size

    def skip(self, size: int) -> None:
        """Pass over bytes that nobody waits for: the place may be another's."""
        self.missing -= size

    def whole(self) -> memoryview:
        """
        Return the message; it may be read until its place is freed.

        :raises BadRequest: not all of it has come.
        """
        if self.missing:
            raise BadRequest("The call ends within its message.")
        return self._view

    def take(self) -> SharedSlot | None:
        """Return the place, from now on the caller's to free; None: it was taken before."""
        place, self.place = self.place, None
        return place

    def free(self) -> None:
        """Give the place back, unless somebody has taken it."""
        place = self.take()
        if place is not None:
            place.free()
