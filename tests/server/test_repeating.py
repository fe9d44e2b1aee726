"""What the server does at intervals."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from modelserver.server.repeating import Repeating


class RepeatingTests(SynchronousTestCase):
    """It is called at the start, at every interval, and not after the end."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.calls: list[float] = []

    def test_it_is_called_until_it_stops(self) -> None:
        repeating = Repeating(self.clock, 2.0, lambda: self.calls.append(self.clock.seconds()))
        self.assertEqual([], self.calls)
        repeating.startService()
        self.clock.pump([1.0] * 4)
        self.successResultOf(repeating.stopService())
        self.clock.pump([1.0] * 4)
        self.assertEqual([0.0, 2.0, 4.0], self.calls)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_the_end_waits_for_a_call_that_is_not_over(self) -> None:
        pending: Deferred[None] = Deferred()
        repeating = Repeating(self.clock, 2.0, lambda: pending)
        repeating.startService()
        end = repeating.stopService()
        self.assertNoResult(end)
        pending.callback(None)
        self.successResultOf(end)

    def test_a_call_that_fails_is_told_and_is_the_last(self) -> None:
        repeating = Repeating(self.clock, 2.0, lambda: 1 / 0)
        with capturedLogs() as logs:
            repeating.startService()
        self.assertEqual(1, len(logs))
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
        self.assertEqual([], self.clock.getDelayedCalls())
        self.successResultOf(repeating.stopService())

    def test_the_end_without_a_start(self) -> None:
        self.successResultOf(Repeating(self.clock, 2.0, lambda: None).stopService())
