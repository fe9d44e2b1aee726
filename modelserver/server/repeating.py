"""Calls something at intervals while the server runs."""

from __future__ import annotations

from collections.abc import Callable

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

_log = Logger()


class Repeating(Service):
    """
    Calls something at the start, and then every so many seconds, never two at a time.

    Twisted's ``TimerService`` does the same, but its module brings what reconnects clients, and Automat for
    that: 17 ms of a start.

    :param call: a call that fails is logged, and ends it.
    """

    def __init__(self, clock: IReactorTime, seconds: float, call: Callable[[], object]) -> None:
        self._seconds = seconds
        self._loop = LoopingCall(call)
        # Assigned since Twisted's constructor does not take a clock.
        self._loop.clock = clock
        self._ended: Deferred[object] = succeed(None)

    def startService(self) -> None:
        """Call for the first time."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's
        self._ended = self._loop.start(self._seconds).addErrback(
            lambda failure: _log.failure(
                "What is done every {seconds} s is not done any more", failure, seconds=self._seconds
            )
        )

    def stopService(self) -> Deferred[object]:
        """Call no more; wait for a call that is not over."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's
        if self._loop.running:
            self._loop.stop()
        return self._ended
