"""Every reactor that the server runs on counts by the monotonic clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.base import ReactorBase
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.pollreactor import PollReactor
from twisted.internet.selectreactor import SelectReactor

from modelserver.system.steady_clock import use_steady_clock


def _on_uvloop() -> ReactorBase:
    uvloop = pytest.importorskip("uvloop")
    return AsyncioSelectorReactor(uvloop.new_event_loop())


def _on_asyncio() -> ReactorBase:
    return AsyncioSelectorReactor(asyncio.new_event_loop())


REACTORS: dict[str, Callable[[], ReactorBase]] = {
    "asyncio": _on_asyncio,
    "uvloop": _on_uvloop,
    "epoll": EPollReactor,
    "poll": PollReactor,
    "select": SelectReactor,
}


@pytest.mark.parametrize("make", REACTORS.values(), ids=REACTORS)
def test_seconds_and_calls_agree_on_the_monotonic_clock(make: Callable[[], ReactorBase]) -> None:
    """What is to be called in five seconds is due five seconds from now, on that clock."""
    reactor = make()
    use_steady_clock(reactor)
    assert reactor.seconds is time.monotonic
    before = time.monotonic()
    call = reactor.callLater(5.0, print)
    after = time.monotonic()
    assert before + 5.0 <= call.getTime() <= after + 5.0
    call.reset(7.0)
    assert after + 7.0 <= call.getTime() <= time.monotonic() + 7.0
    left = reactor.timeout()
    assert left is not None
    assert left <= 7.0
    call.cancel()


@pytest.mark.parametrize("make", REACTORS.values(), ids=REACTORS)
def test_a_call_that_is_due_is_run(make: Callable[[], ReactorBase]) -> None:
    """The reactor waits for it by the same clock, and not less."""
    reactor = make()
    use_steady_clock(reactor)
    called: list[float] = []

    def end() -> None:
        called.append(time.monotonic())
        reactor.stop()

    due = reactor.callLater(0.01, end).getTime()
    reactor.run(installSignalHandlers=False)
    assert len(called) == 1
    assert called[0] >= due


def test_once_more_is_nothing_new() -> None:
    """Whatever is scheduled then counts by that clock already."""
    reactor = SelectReactor()
    use_steady_clock(reactor)
    call = reactor.callLater(5.0, print)
    use_steady_clock(reactor)
    call.cancel()


def test_too_late() -> None:
    """What is scheduled already counts by the time of day, and would never come."""
    reactor = SelectReactor()
    call = reactor.callLater(5.0, print)
    with pytest.raises(RuntimeError):
        use_steady_clock(reactor)
    call.cancel()
