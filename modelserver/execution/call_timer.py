"""The time that each call of one node may take."""

from __future__ import annotations

from typing import Protocol

from attrs import field
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from modelserver.language.attributes import define


class TimedCall(Protocol):
    """A call that may take only so long."""

    def timed_out(self) -> None:
        """The time is over."""


@define(eq=False)
class CallTimer:
    """
    Watches the calls of one node with one timer.

    All may take equally long: the first that was begun is the first whose time is over. A call that has ended
    leaves nothing behind here, as it would on a heap.

    :param seconds: that a call may take.
    """

    clock: IReactorTime
    seconds: float
    _calls: dict[TimedCall, float] = field(factory=dict, init=False)
    _timer: IDelayedCall | None = field(default=None, init=False)

    def watch(self, call: TimedCall) -> None:
        """Tell a call when its time, which begins now, is over."""
        self._calls[call] = self.clock.seconds() + self.seconds
        if self._timer is None:
            self._timer = self.clock.callLater(self.seconds, self._look)

    def forget(self, call: TimedCall) -> None:
        """Watch a call no more."""
        self._calls.pop(call, None)

    def _look(self) -> None:
        """Tell those whose time is over, and look again when the next one's is."""
        now, late = self.clock.seconds(), []
        self._timer = None
        for call, deadline in self._calls.items():
            if deadline > now:
                self._timer = self.clock.callLater(deadline - now, self._look)
                break
            late.append(call)
        for call in late:
            # One that is told may have the others withdrawn, and may begin anew.
            if self._calls.pop(call, None) is not None:
                call.timed_out()
