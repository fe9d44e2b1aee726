"""Wakes a reactor for its timers late rather than early, on event loops that count whole milliseconds."""

from __future__ import annotations

from twisted.internet.base import ReactorBase

GRAIN = 0.001
"""Seconds that uvloop counts in: its clock is behind by up to one, and it takes the nearest."""
SHORT = 0.0006
"""Seconds up to which a timer is to be exact, whatever that costs."""


def round_timers_up(reactor: ReactorBase) -> None:
    """
    Have the event loop wake a reactor when its next call is due, not shortly before.

    Woken early, Twisted asks for the rest of the time; what is left is less than half a millisecond, which
    uvloop takes for nothing: the process would go round and round, without sleep, until the call is due.
    """
    exact = reactor.timeout

    def timeout() -> float | None:
        left = exact()
        return left if left is None or left <= SHORT else left + GRAIN

    reactor.timeout = timeout  # type: ignore[method-assign]  # a class of our own would have to name its base
