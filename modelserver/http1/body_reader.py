"""How bodies of plain requests come in: small ones in pieces, large ones to where workers will read them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

from modelserver.errors import ServerFull
from modelserver.http1.head import Head
from modelserver.http1.states import Mode
from modelserver.http1.twisted_web import TwistedWebChannel
from modelserver.jobs import SharedSlot
from modelserver.protocol.shared_memory import LARGE

NOWHERE = memoryview(bytearray())


class BodyChannel(TwistedWebChannel):
    """Owns the body that is being read, and the memory that bodies take until they are answered."""

    _missing = 0
    _place: SharedSlot | None = None
    _region = NOWHERE
    _reserved = 0

    def connectionMade(self) -> None:
        """A client is here."""
        super().connectionMade()
        self._body: list[bytes] = []
        self._fill: Callable[[BodyChannel], object] | None = getattr(self.transport, "fill", None)

    def reserve(self, size: int) -> bool:
        """Claim memory for a body until it is answered; without, the request is refused."""
        if not self.site.memory.take(size):
            self.refuse(ServerFull("", None, self.site.memory.limit, "request_memory"))
            return False
        self._reserved += size
        return True

    def _release(self) -> None:
        if self._reserved:
            self.site.memory.give_back(self._reserved)
            self._reserved = 0

    def _place_for(self, size: int) -> SharedSlot | None:
        """Where the worker can read a large body, if this transport and the memory have that."""
        slots = self.front.slots
        return slots.take(size) if slots is not None and size >= LARGE and self._fill is not None else None

    def _kept(self, body: memoryview) -> bytes | SharedSlot:
        """A body that is here, a large one where the worker will read it."""
        place = self._place_for(len(body))
        if place is None or self.front.slots is None:
            return bytes(body)
        self.front.slots.view(place)[:] = body
        return place

    def _expect_body(self, head: Head, length: int, first: memoryview) -> None:
        """More of a body is to come: a large one is received where the worker will read it."""
        self._head = head
        if not self.reserve(length):
            return
        self.mode = Mode.BODY
        self._missing = length - len(first)
        place = self._place_for(length)
        if place is None or self.front.slots is None or self._fill is None:
            self._body = [bytes(first)]
            return
        view = self.front.slots.view(place)
        view[: len(first)] = first
        self._place, self._region = place, view[len(first) :]
        self._fill(self)

    def room(self) -> memoryview:
        """Where the rest of a large body goes."""
        return self._region

    def filled(self, size: int) -> bool:
        """So many bytes of a large body have arrived; whether there are more to come."""
        self._region = self._region[size:]
        self._missing -= size
        return self._missing > 0

    def body_completed(self) -> None:
        """A large body is here."""
        place, self._place, self._region = self._place, None, NOWHERE
        head = self._head
        assert head is not None and place is not None  # filled says so
        if self.mode is Mode.LINGER:  # it came too slowly, say
            place.free()
        else:
            self._begin(head, place)

    def _free_place(self) -> None:
        """The client left in the middle of a large body."""
        if self._place is not None:
            self._place.free()

    @abstractmethod
    def _begin(self, head: Head, body: bytes | SharedSlot) -> None:
        """Serve a whole request."""
