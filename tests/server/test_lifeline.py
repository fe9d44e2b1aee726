"""The server ends with what has started it."""

from __future__ import annotations

import os

from twisted.internet.testing import MemoryReactor
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from modelserver.server.lifeline import Lifeline


class Stoppable(MemoryReactor):
    """Counts how often it was stopped."""

    stops = 0

    def stop(self) -> None:
        """Count."""
        self.stops += 1


class LifelineTests(SynchronousTestCase):
    """A pipe, whose other end is closed."""

    def setUp(self) -> None:
        self.reactor = Stoppable()
        self.ours, self.theirs = os.pipe()
        self.addCleanup(os.close, self.ours)
        self.lifeline = Lifeline(self.reactor, self.ours)
        self.lifeline.startService()

    def close(self) -> None:
        """End the starter, or so it looks."""
        os.close(self.theirs)

    def test_the_end_of_the_other_end_stops_the_server(self) -> None:
        self.assertEqual([self.lifeline], self.reactor.getReaders())
        self.assertEqual(self.ours, self.lifeline.fileno())
        self.close()
        self.lifeline.doRead()
        self.assertEqual(1, self.reactor.stops)
        self.assertEqual([], self.reactor.getReaders())

    def test_what_comes_through_is_dropped(self) -> None:
        os.write(self.theirs, b"hello")
        self.lifeline.doRead()
        self.assertEqual(0, self.reactor.stops)
        self.assertEqual([self.lifeline], self.reactor.getReaders())
        self.close()
        self.lifeline.doRead()
        self.assertEqual(1, self.reactor.stops)

    def test_a_descriptor_of_no_use_counts_as_an_end(self) -> None:
        self.addCleanup(self.close)
        self.lifeline.connectionLost(Failure(OSError("closed")))
        self.assertEqual(1, self.reactor.stops)

    def test_a_server_that_stops_watches_no_longer(self) -> None:
        self.addCleanup(self.close)
        self.lifeline.stopService()
        self.assertEqual([], self.reactor.getReaders())
        self.assertEqual(0, self.reactor.stops)
