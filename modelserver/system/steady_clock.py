"""
A clock that nobody sets, for everything that a reactor times.

Twisted's reactors read the time of day (``time.time``), which corrections move: forward, and all that waits
is late; back, and no timer runs. They look ``seconds`` up on themselves whenever they schedule, run or wait
for a call (``twisted.internet.base.ReactorBase``): one attribute decides for all, whatever they poll with.
"""

from __future__ import annotations

import time

from twisted.internet.base import ReactorBase


def use_steady_clock(reactor: ReactorBase) -> None:
    """
    Have a reactor time everything by ``time.monotonic``: ``seconds`` and ``callLater`` agree on it.

    Call it before anything is scheduled, since what is scheduled already counts by the time of day.

    :raises RuntimeError: something is scheduled.
    """
    if reactor.seconds is time.monotonic:
        return
    if reactor.getDelayedCalls():
        raise RuntimeError("The reactor has scheduled calls by the time of day already.")
    reactor.seconds = time.monotonic
