"""How bodies of plain requests come in: in pieces, or, if they are large, to where workers will read them."""

from __future__ import annotations

from collections.abc import Callable

from attrs import field

from modelserver.errors import BodyTooLarge, ServerFull, ServingError
from modelserver.http1.asyncio_transport import BodySink
from modelserver.http1.body_memory import BodyMemory
from modelserver.http1.chunked import ChunkedBody, Turns
from modelserver.http1.head import Malformed
from modelserver.http1.states import ConnectionTransport
from modelserver.jobs import SharedSlot
from modelserver.language.attributes import define
from modelserver.protocol.shared_memory import LARGE, SharedMemoryPool

NOWHERE = memoryview(bytearray())


@define(eq=False)
class BodyReader:
    """
    The body that one connection is reading, and the memory that it takes until its request is answered.

    Sizes are in bytes.

    :param memory: what all bodies may take together.
    :param slots: memory that workers can read, for large bodies; None: there is none.
    :param fill: has the transport receive straight into a sink; None: it cannot.
    :param deliver: takes a body that is whole, which it owns from then on, and what came behind it.
    :param refuse: told once why the body is not read further: the memory is used up, or its chunks are too
        much, or none.
    """

    memory: BodyMemory
    slots: SharedMemoryPool | None
    fill: Callable[[BodySink], object] | None
    deliver: Callable[[bytes | SharedSlot, bytes], object]
    refuse: Callable[[ServingError | Malformed], object]
    missing: int = field(default=0, init=False)
    """How much is to come; of a chunked body, what has come, below zero."""
    reserved: int = field(default=0, init=False)
    _is_unwanted: bool = field(default=False, init=False)
    """Whether the body was refused; what still comes of it is thrown away."""
    _pieces: list[bytes] = field(factory=list, init=False)
    _chunks: ChunkedBody | None = field(default=None, init=False)
    _slot: SharedSlot | None = field(default=None, init=False)
    _room: memoryview = field(default=NOWHERE, init=False)

    def reserve(self, size: int) -> bool:
        """
        Claim memory for what has arrived, until ``release``; return whether there was enough.

        What is only announced costs its client nothing, and must not shut others out.
        """
        if self._is_unwanted:
            return False
        if not self.memory.take(size):
            self.refuse(ServerFull("", None, self.memory.limit, "request_memory"))
            return False
        self.reserved += size
        return True

    def release(self) -> None:
        """Give back what was reserved: the request is answered, or never will be."""
        if self.reserved:
            self.memory.give_back(self.reserved)
            self.reserved = 0

    def _slots_for(self, size: int) -> SharedMemoryPool | None:
        """Return the memory for a body, if that is large, and this transport can fill a slot."""
        return None if size < LARGE or self.fill is None else self.slots

    def keep(self, body: bytes | memoryview) -> bytes | SharedSlot:
        """Return a body that came whole: a large one where the worker will read it."""
        slots = self._slots_for(len(body))
        slot = None if slots is None else slots.put(body)
        return bytes(body) if slot is None else slot

    def begin(self, length: int, first: memoryview) -> None:
        """
        Begin to read a body of which more is to come.

        A large one goes from the transport to where the worker will read it; the pieces of any other are to
        be given to ``add``.
        """
        self.missing = length - len(first)
        if not self.reserve(len(first)):
            return
        slots = self._slots_for(length)
        slot = None if slots is None else slots.take(length)
        if slot is None or slots is None or self.fill is None:
            self._pieces = [bytes(first)]
            return
        view = slots.view(slot)
        view[: len(first)] = first
        self._slot, self._room = slot, view[len(first) :]
        self.fill(self)

    def begin_chunks(self, turns: Turns, most: int, transport: ConnectionTransport) -> None:
        """
        Begin to read a chunked body, all of which is to be given to ``add``.

        :param most: bytes that it may have.
        :param transport: is paused while the body waits for its turn.
        """
        self.missing = 0

        def take(data: bytes) -> None:
            self.missing -= len(data)
            if -self.missing > most:
                self.refuse(BodyTooLarge(most))
            elif self.reserve(len(data)):
                self._pieces.append(data)

        def end(rest: bytes) -> None:
            self._chunks = None
            self.deliver(self.keep(self._joined()), rest)

        def invalid() -> None:
            self.refuse(Malformed(400, "Invalid HTTP message."))

        pause, resume = transport.pauseProducing, transport.resumeProducing
        self._chunks = ChunkedBody(turns, take, end, invalid, pause, resume)

    def add(self, data: bytes) -> None:
        """Take a piece of the body, with what may come behind it."""
        if self._chunks is not None:
            self._chunks.dataReceived(data)
        elif self.reserve(min(len(data), self.missing)):
            self._pieces.append(data)
            self.missing -= len(data)
            if self.missing <= 0:
                data = self._joined()
                end = len(data) + self.missing
                self.deliver(data[:end], data[end:])

    def _joined(self) -> bytes:
        body = b"".join(self._pieces)
        self._pieces = []
        return body

    def drop_pieces(self) -> None:
        """Forget what has come: nobody wants the body any more. A slot is still being filled."""
        self._is_unwanted = True
        self._pieces = []
        self._close_chunks()

    def _close_chunks(self) -> None:
        chunks, self._chunks = self._chunks, None
        if chunks is not None:
            chunks.close()

    def connection_lost(self) -> None:
        """Give back what the client had, who may have left in the middle, and let go of the connection."""
        self.release()
        self._close_chunks()
        self.fill, self.deliver, self.refuse = None, free_body, _nobody
        if self._slot is not None:
            self._slot.free()

    # What the transport that fills a slot asks.

    def room(self) -> memoryview:
        """Return where the next bytes go."""
        return self._room

    def filled(self, size: int) -> bool:
        """Count bytes that have arrived; return whether more are to come."""
        self._room = self._room[size:]
        self.missing -= size
        self.reserve(size)
        return self.missing > 0

    def body_completed(self) -> None:
        """Hand over a large body that is whole."""
        slot, self._slot, self._room = self._slot, None, NOWHERE
        assert slot is not None  # begin took it
        self.deliver(slot, b"")


def free_body(body: bytes | SharedSlot, rest: bytes) -> None:
    """Take a body that nobody wants any more, and what came behind it."""
    if isinstance(body, SharedSlot):
        body.free()


def _nobody(error: ServingError | Malformed) -> None:
    """Stand in for the connection that is gone."""
