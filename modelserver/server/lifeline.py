"""Ends the server with the process that has started it, however that one ends."""

from __future__ import annotations

import os

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorCore, IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

MOST = 4096
"""Bytes read at once of what is only waited for: its end."""

_log = Logger()


@implementer(IReadDescriptor)
class Lifeline(Service):
    """
    Watches the reading end of a pipe; the starter holds the other one, which the kernel closes with it.

    What comes through is dropped.

    :param reactor: stopped when the other end is closed.
    :param descriptor: owned by the caller.
    """

    def __init__(self, reactor: object, descriptor: int = 0) -> None:
        self._core = IReactorCore(reactor)
        self._watches = IReactorFDSet(reactor)
        self._descriptor = descriptor

    def startService(self) -> None:
        """Watch."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's
        self._watches.addReader(self)

    def stopService(self) -> None:
        """Watch no longer."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's
        self._watches.removeReader(self)

    def fileno(self) -> int:
        """Return what the reactor waits for."""
        return self._descriptor

    def logPrefix(self) -> str:
        """Return the name that the reactor's messages have for it."""
        return "lifeline"

    def doRead(self) -> None:
        """Drop what has come, or stop the server at the end."""
        try:
            if os.read(self._descriptor, MOST):
                return
        except OSError:
            pass  # nobody can say any more that the other end is there
        self._end()

    def connectionLost(self, reason: Failure) -> None:
        """Stop the server: the reactor says that the descriptor is of no use."""
        self._end()

    def _end(self) -> None:
        self._watches.removeReader(self)
        _log.info("What has started this server has ended.")
        self._core.stop()
