"""A wait for somebody who may hang."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from modelserver.backends.watchdog import Watchdog


class WatchdogTests(SynchronousTestCase):
    """It lasts from one sign of life to the next."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.given_up: list[float] = []
        self.watchdog = Watchdog(self.clock, 10.0, lambda: self.given_up.append(self.clock.seconds()))

    def test_it_is_over_some_time_after_the_last_sign(self) -> None:
        self.watchdog.renew(True)
        self.clock.advance(9.0)
        self.watchdog.renew(True)
        self.clock.advance(9.0)
        self.assertEqual(self.given_up, [])
        self.clock.advance(1.0)
        self.assertEqual(self.given_up, [19.0])

    def test_it_ends_where_nothing_is_waited_for(self) -> None:
        self.watchdog.renew(True)
        self.watchdog.renew(False)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_it_can_begin_again_when_it_was_over(self) -> None:
        for _ in range(2):
            self.watchdog.renew(True)
            self.clock.advance(10.0)
        self.assertEqual(len(self.given_up), 2)
