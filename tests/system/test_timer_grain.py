"""An event loop that counts whole milliseconds wakes its reactor late rather than early."""

from __future__ import annotations

import asyncio

import pytest
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.base import ReactorBase

from modelserver.system.steady_clock import use_steady_clock
from modelserver.system.timer_grain import GRAIN, SHORT, round_timers_up


def _reactor() -> ReactorBase:
    reactor: ReactorBase = AsyncioSelectorReactor(asyncio.new_event_loop())
    use_steady_clock(reactor)
    now = 100.0
    reactor.seconds = lambda: now
    round_timers_up(reactor)
    return reactor


@pytest.mark.parametrize(
    ("delay", "waits"), [(5.0, 5.0 + GRAIN), (0.002, 0.002 + GRAIN), (SHORT / 2, SHORT / 2)]
)
def test_it_waits_a_grain_longer_unless_the_call_is_near(delay: float, waits: float) -> None:
    reactor = _reactor()
    reactor.callLater(delay, print)
    assert reactor.timeout() == pytest.approx(waits)


def test_calls_are_due_when_they_were() -> None:
    reactor = _reactor()
    assert reactor.callLater(5.0, print).getTime() == 105.0


def test_nothing_to_call_is_waited_for_without_end() -> None:
    assert _reactor().timeout() is None
