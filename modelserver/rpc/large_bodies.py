"""Receives into one buffer, which all connections share, while large bodies come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from modelserver.http1.asyncio_transport import BodySink
from modelserver.rpc.intake import Intake
from modelserver.rpc.lifetime import Lifetime
from modelserver.rpc.listener_context import RpcListener
from modelserver.rpc.reception import Reception


class RoomyConnection(Protocol):
    """
    What is asked of a connection.

    :param rest: what came and is not read.
    """

    rest: bytes
    intake: Intake
    lifetime: Lifetime
    reception: Reception

    def dataReceived(self, data: bytes) -> None: ...


class LargeBodies:
    """
    Reads from a connection's transport into a buffer of all connections of one loop: nothing stays there.

    By itself the loop makes a bytes object of each read, of up to 256 kB, which is one copy more.

    :param fill: has the transport receive into a sink.
    :param now: returns the clock's (monotonic) seconds.
    """

    __slots__ = ("_connection", "_fill", "_is_filling", "_is_placed", "_now", "_room")

    def __init__(
        self,
        connection: RoomyConnection,
        room: memoryview,
        fill: Callable[[BodySink], object],
        now: Callable[[], float],
    ) -> None:
        self._connection, self._room = connection, room
        self._fill, self._now = fill, now
        self._is_filling = False
        self._is_placed = False
        """Whether what comes next is read to where its worker will read it."""

    def begin(self) -> None:
        """Receive, unless it is so already."""
        if not self._is_filling:
            self._is_filling = True
            self._fill(self)

    def room(self) -> memoryview:
        """Return where the next bytes go: no more of them than a read that ends where a frame does."""
        connection = self._connection
        is_waiting = connection.rest or connection.reception.streams.behind
        place = None if is_waiting else connection.intake.place()
        # Asked anew before each try to read: the one before may have found nothing.
        self._is_placed = place is not None
        return self._room[: connection.intake.room_for(len(self._room))] if place is None else place

    def filled(self, size: int) -> bool:
        """Read what has come; return whether there are large bodies of which more is to come."""
        connection, data, at = self._connection, self._room[:size], 0
        passing = connection.reception.passing
        if self._is_placed:
            connection.intake.placed(size)
            at = size
        elif not connection.rest and not connection.reception.streams.behind:
            at = connection.intake.skim(data)
        if at < size or passing.updates:
            connection.dataReceived(bytes(data[at:]))
        else:
            connection.lifetime.heard = self._now()
        self._is_filling = bool(passing.calls)
        return self._is_filling

    def body_completed(self) -> None:
        """Do nothing: all is read already."""


def receive_large(connection: RoomyConnection, transport: object, listener: RpcListener) -> None:
    """Have large bodies received in the room of a listener, if the transport can do that."""
    fill = getattr(transport, "fill", None)
    if fill is not None:
        bodies = LargeBodies(connection, listener.room, fill, listener.clock.seconds)
        connection.reception.passing.begun = bodies.begin
