"""Calls with many messages: each is given to the method as soon as it, and the others, can have it."""

from __future__ import annotations

from typing import Protocol

from modelserver.errors import BadRequest
from modelserver.http1.body_memory import BodyMemory
from modelserver.rpc.call import FRAMED, CallingConnection, ServerCall
from modelserver.rpc.interfaces import RpcMethod
from modelserver.rpc.wire.messages import MessageCutter

UNREAD_HIGH = 64 << 10
"""Bytes of a call's messages that may wait for its method before the client's window closes."""
MOST_MESSAGES = 250
"""Messages of one connection's streams in one turn: thousands fit into a frame, and each may be a refusal."""


class StreamReception(Protocol):
    """What has messages come."""

    def reserve(self, call: ServerCall, size: int) -> None:
        """Claim memory for what has come."""

    def plain(self, call: ServerCall, flag: int, message: bytes) -> bytes:
        """Return a message as it was before it was compressed."""

    def fail(self, call: ServerCall, error: Exception) -> None:
        """End a call whose method has failed."""


class MessageStreams:
    """
    The bodies of one connection's calls that have many messages.

    What cannot be given on stays as it came: it is nobody's message yet, and no window is opened for it.

    :ivar behind: calls that go on in the next turn, by stream.
    """

    __slots__ = ("_connection", "_given", "_largest", "_left", "_memory", "_reception", "behind")

    def __init__(
        self, connection: CallingConnection, reception: StreamReception, memory: BodyMemory, largest: int
    ) -> None:
        self._connection, self._reception, self._memory = connection, reception, memory
        self._largest = largest
        self._left = MOST_MESSAGES
        self._given: ServerCall | None = None
        """The one whose method is being given what has come."""
        self.behind: dict[int, ServerCall] = {}

    @property
    def is_enough(self) -> bool:
        """Whether no more is to be read in this turn."""
        return self._left <= 0

    def begin_turn(self) -> None:
        """Go on with what was left in the last turn."""
        self._left = MOST_MESSAGES
        if self.behind:
            behind, self.behind = self.behind, {}
            for call in behind.values():
                self._give_on(call)

    def read(self, call: ServerCall, data: bytes, ended: bool) -> None:
        """Take a piece of a call's body."""
        reader = call.reader
        if reader is None:
            reader = call.reader = MessageCutter(self._largest)
        call.held += len(data)
        self._reception.reserve(call, len(data))
        reader.keep(data)
        call.is_whole = ended
        if not call.is_behind:
            self._give_on(call)

    def resume(self, call: ServerCall) -> None:
        """Go on with a call, soon: its method has taken what it had."""
        if call is not self._given:
            self.behind[call.stream] = call

    def _give_on(self, call: ServerCall) -> None:
        self._given = call
        try:
            self._give(call, call.rpc_method)  # type: ignore[arg-type]  # it has begun
        except Exception as error:
            self._reception.fail(call, error)
        finally:
            self._given = None

    def _give(self, call: ServerCall, method: RpcMethod) -> None:
        """Give a method what has come, up to what it, and this turn, may have."""
        reader = call.reader
        assert reader is not None, "something has come"
        call.is_behind = True  # as long as more has come, what is taken at once opens no window
        while not call.is_over:
            if call.unread > UNREAD_HIGH and reader.pending:
                break  # until the method takes it
            if self._left <= 0:
                self.behind[call.stream] = call
                break
            found = reader.next_message()
            if found is None:
                call.is_behind = False
                break
            self._left -= 1
            message = self._reception.plain(call, *found)
            call.unread += len(message) + FRAMED
            method.message(call, message)
        if call.is_over:
            return
        if call.reserved > reader.pending:
            # What is not whole counts; what a method has is bounded by windows.
            self._memory.give_back(call.reserved - reader.pending)
            call.reserved = reader.pending
        if call.is_behind:
            return
        self._connection.consumed(call)
        if call.is_whole:
            if reader.is_partial:
                raise BadRequest("The call ends within a message.")
            method.message(call, None)
