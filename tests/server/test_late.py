"""Parts of listeners that are made when the first client needs them."""

from __future__ import annotations

from twisted.internet.protocol import Protocol, ServerFactory
from twisted.trial.unittest import SynchronousTestCase

from modelserver.server.late import LateFactory


class Counted(ServerFactory):
    """A factory that knows how often it was started and stopped."""

    protocol = Protocol
    noisy = False
    started = stopped = 0

    def startFactory(self) -> None:
        """Count a start."""
        self.started += 1

    def stopFactory(self) -> None:
        """Count a stop."""
        self.stopped += 1


class LateFactoryTests(SynchronousTestCase):
    """A factory that is made at the first connection."""

    def setUp(self) -> None:
        self.made: list[Counted] = []
        self.late = LateFactory(self.make)
        self.late.doStart()

    def make(self) -> Counted:
        """Make the factory."""
        self.made.append(Counted())
        return self.made[-1]

    def test_nothing_is_made_before_the_first_connection(self) -> None:
        self.assertEqual([], self.made)

    def test_it_is_made_and_started_once(self) -> None:
        protocols = [self.late.buildProtocol(None) for _ in range(3)]
        self.assertEqual([1], [each.started for each in self.made])
        self.assertEqual([self.made[0]] * 3, [each.factory for each in protocols])

    def test_it_stops_with_its_listener(self) -> None:
        self.late.buildProtocol(None)
        self.late.doStop()
        self.assertEqual(1, self.made[0].stopped)

    def test_a_listener_without_clients_stops(self) -> None:
        self.late.doStop()
        self.assertEqual([], self.made)
