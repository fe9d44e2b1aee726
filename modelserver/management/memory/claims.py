"""The queue of those who wait for memory, in the order in which they came."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import field
from twisted.internet.defer import Deferred

from modelserver.language.attributes import define
from modelserver.management.memory.room import Need


@define(eq=False)
class Claim:
    """
    Somebody who wants to start workers.

    :param waits: it is not refused while there may be room some day.
    :param granted: fires when the workers may start; they are started before it returns.
    """

    need: Need
    waits: bool
    granted: Deferred[None]


@define(eq=False)
class Claims:
    """The queue of claims; those that were cancelled leave by themselves."""

    _waiting: list[Claim] = field(factory=list, init=False)

    def __iter__(self) -> Iterator[Claim]:
        return iter(tuple(self._waiting))

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, need: Need, waits: bool) -> Claim:
        """Let one more wait, behind the others."""

        def give_up(granted: Deferred[None]) -> None:
            self._waiting[:] = [each for each in self._waiting if each.granted is not granted]

        claim = Claim(need, waits, Deferred(give_up))
        self._waiting.append(claim)
        return claim

    def grant(self, claim: Claim) -> None:
        """Let one start its workers."""
        self._waiting.remove(claim)
        claim.granted.callback(None)

    def refuse(self, claim: Claim, error: Exception) -> None:
        """Tell one that there will be no room."""
        self._waiting.remove(claim)
        claim.granted.errback(error)
