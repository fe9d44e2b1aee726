"""The calls of a connection that are over: what they held is given back, and they are written down."""

from __future__ import annotations

from modelserver.rpc.call import ServerCall
from modelserver.rpc.codes import Code
from modelserver.rpc.interfaces import EndedCall
from modelserver.rpc.listener_context import RpcListener


class FinishedCalls:
    """
    Those of one connection; all of a turn are written down together.

    :ivar waiting: those that are not written down yet.
    :ivar count: how many were.
    """

    __slots__ = ("_listener", "count", "waiting")

    def __init__(self, listener: RpcListener) -> None:
        self._listener = listener
        self.waiting: list[EndedCall] = []
        self.count = 0

    def add(self, call: ServerCall, code: Code) -> None:
        """Give back what a call held, and have it written down."""
        self.waiting.append((call, code))
        if call.leaves_something:
            self._release(call)

    def _release(self, call: ServerCall) -> None:
        if call.bucket is not None:
            call.bucket.leave(call)
        if call.large is not None:
            call.large.free()
        if call.reserved:
            self._listener.memory.give_back(call.reserved)
            call.reserved = 0

    def note(self) -> None:
        """Write down those that wait for it."""
        waiting, self.waiting = self.waiting, []
        if waiting:
            self.count += len(waiting)
            self._listener.site.ended(waiting, self._listener.clock.seconds())
