"""Gives the memory of a load back once the load is over."""

from __future__ import annotations

from collections.abc import Callable

from attrs import field
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from modelserver.interfaces import InThread
from modelserver.language.attributes import define
from modelserver.protocol.shared_memory import SharedMemoryPool
from modelserver.system.allocation import give_back_freed_memory

INTERVAL = 2.0
"""Seconds between two looks."""
IDLE = 0.02
"""The share of a processor up to which the server is idle."""


@define(eq=False)
class IdleMemory:
    """
    Keeps what bodies needed for the next ones while there are any, and gives it back when there are none.

    Under load that memory saves the kernel from clearing page after page. What tells that there is no load is
    the processor time of this process: no part of the request path has to count for it.

    :param cpu_seconds: processor time of this process, so far.
    :param slots: memory that is shared with workers, or None.
    :param give_back: gives freed memory back; runs in a thread.
    """

    clock: IReactorTime
    in_thread: InThread
    cpu_seconds: Callable[[], float]
    slots: SharedMemoryPool | None
    give_back: Callable[[], bool] = give_back_freed_memory
    _seen: tuple[float, float] = field(default=(0.0, 0.0), init=False)
    _has_worked: bool = field(default=True, init=False)  # the start is work
    _loop: LoopingCall = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._loop = LoopingCall(self._look)
        self._loop.clock = self.clock

    def start(self) -> None:
        """Begin to look."""
        self._seen = (self.clock.seconds(), self.cpu_seconds())
        self._loop.start(INTERVAL, now=False)

    def stop(self) -> None:
        """Look no more."""
        if self._loop.running:
            self._loop.stop()

    def _look(self) -> None:
        before, worked_before = self._seen
        now, worked = self._seen = (self.clock.seconds(), self.cpu_seconds())
        if worked - worked_before > IDLE * (now - before):
            self._has_worked = True
        elif self._has_worked:
            self._has_worked = False
            if self.slots is not None:
                self.slots.trim()
            self.in_thread(self.give_back)
