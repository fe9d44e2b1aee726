"""Slow readers: how much memory unread answers may take, and how long a client may read nothing."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import field
from twisted.internet.interfaces import IReactorTime

from modelserver.http1.states import OpenConnection
from modelserver.language.attributes import define, frozen

STALLED = 2.0
"""Seconds without progress, after which a client is the first to go when memory is short."""


@frozen
class Backlog:
    """
    What a client has not taken of its answers.

    :param taken: how much it had taken, on the scale of ``OpenConnection.taken``.
    :param since: when that was, in the clock's seconds: it has made no progress from then on.
    """

    taken: int
    since: float


@define(eq=False)
class AnswerMemory:
    """
    Cuts off clients who do not take their answers: after a time, or at once when memory is short.

    A client makes progress as long as it takes ``rate`` bytes a second. Answers that the system has taken for
    its clients are not counted, and cost nothing here.

    :param limit: bytes of answers that all clients together may leave untaken; 0: any number.
    :param timeout: seconds that a client may go without progress.
    :param rate: bytes a second; 0: any progress will do.
    """

    clock: IReactorTime
    limit: int = 0
    timeout: float = 60.0
    rate: int = 0
    _backlogs: dict[OpenConnection, Backlog] = field(factory=dict, init=False)
    _is_to_look: bool = field(default=False, init=False)

    @property
    def unsent(self) -> int:
        """Bytes that are known to be untaken."""
        return sum(connection.unsent for connection in self._backlogs)

    def note_full(self, connection: OpenConnection) -> None:
        """Count a client that takes no more at present; called again when it has taken all."""
        self._backlogs.setdefault(connection, Backlog(connection.taken, self.clock.seconds()))
        if self.limit and not self._is_to_look:
            # Later, since this is called in the middle of a write.
            self._is_to_look = True
            self.clock.callLater(0, self._look)

    def discard(self, connection: OpenConnection) -> None:
        """Count a client no more: it is gone, or has taken what was there."""
        self._backlogs.pop(connection, None)

    def sweep(self, connections: Iterable[OpenConnection]) -> None:
        """Look at every connection once."""
        now, before = self.clock.seconds(), self._backlogs
        self._backlogs = {}
        for connection in connections:
            if not connection.unsent:
                continue
            backlog = self._advanced(connection, before.get(connection), now)
            if now - backlog.since >= self.timeout:
                connection.abort()
            else:
                self._backlogs[connection] = backlog
        self._make_room()

    def _advanced(self, connection: OpenConnection, before: Backlog | None, now: float) -> Backlog:
        taken = connection.taken
        if before is None or taken - before.taken >= max(1.0, self.rate * (now - before.since)):
            return Backlog(taken, now)
        return before

    def _look(self) -> None:
        self._is_to_look = False
        self._make_room()

    def _make_room(self) -> None:
        """While there is too much, cut off who has made no progress for longest, else who came last."""
        if not self.limit or len(self._backlogs) < 2:
            return
        total, now = self.unsent, self.clock.seconds()
        while total > self.limit and len(self._backlogs) > 1:
            leaver = min(self._backlogs, key=lambda each: self._backlogs[each].since)
            if now - self._backlogs[leaver].since < STALLED:
                leaver = next(reversed(self._backlogs))
            total -= leaver.unsent
            del self._backlogs[leaver]
            leaver.abort()
