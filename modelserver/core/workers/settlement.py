"""Tells when a pool's workers are as they are meant to be: all ready, or all gone."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import field
from twisted.internet.defer import Deferred

from modelserver.core.workers.waiters import Waiters
from modelserver.core.workers.worker import READY, Worker
from modelserver.language.attributes import define


@define(eq=False)
class Settlement:
    """
    Fires Deferreds; each may be cancelled.

    :param workers: those that are wanted; the pool changes the list.
    :param leaving: those that are not, and are not gone; likewise.
    """

    workers: Sequence[Worker]
    leaving: Sequence[Worker]
    _settlers: Waiters = field(factory=Waiters, init=False)
    _closers: Waiters = field(factory=Waiters, init=False)

    def when_settled(self) -> Deferred[None]:
        """Fire when all wanted workers are ready and all others gone; fails by ``fail``."""
        settled = self._settlers.wait()
        self.look()
        return settled

    def when_empty(self) -> Deferred[None]:
        """Fire when nobody is left."""
        empty = self._closers.wait()
        self.look()
        return empty

    def look(self) -> None:
        """Tell those who wait for what is so now."""
        if self.leaving:
            return
        if self._settlers and all(worker.state is READY for worker in self.workers):
            self._settlers.fire()
        if not self.workers:
            self._closers.fire()

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits for the workers to be ready."""
        return bool(self._settlers)

    def fail(self, error: Exception) -> None:
        """Tell those who wait for the workers to be ready that they will not be."""
        self._settlers.fail(error)
