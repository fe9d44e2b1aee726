"""Parts of listeners that are made when the first client needs them."""

from __future__ import annotations

from typing import cast

from twisted.internet.protocol import Protocol, ServerFactory
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource, Resource
from twisted.web.test.requesthelper import DummyRequest

from modelserver.server.late import LateFactory, LateResource


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


class Echo(Resource):
    """Answers with the method."""

    isLeaf = True

    def render(self, request: IRequest) -> bytes:
        """Answer."""
        answer: bytes = request.method
        return answer


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


class LateResourceTests(SynchronousTestCase):
    """A resource that is made at the first request."""

    def test_it_is_made_once_and_answers(self) -> None:
        made: list[IResource] = []

        def make() -> IResource:
            made.append(Echo())
            return made[-1]

        late = LateResource(make)
        self.assertTrue(late.isLeaf)
        self.assertEqual([], made)
        self.assertEqual([b"GET", b"GET"], [late.render(cast(IRequest, DummyRequest([]))) for _ in range(2)])
        self.assertEqual(1, len(made))
