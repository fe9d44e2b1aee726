"""How many connections there may be, and what is told to those over the limit."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from modelserver.http1.limits import (
    FEWEST_AT_OTHERS,
    FEWEST_DESCRIPTORS,
    MOST_OVER_LIMIT,
    MOST_RESERVED,
    RESERVE,
    Connections,
    ConnectionTimeouts,
    ListenerConnections,
    most_at_others,
    most_connections,
)
from tests.harness.connections import ConnectionStage

PREDICTION = b"POST /predictions/noop HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
TIMEOUTS = ConnectionTimeouts(idle=8.0, head=4.0, linger=2.0, write=3.0, rate=10)


class ListenerConnectionsTests(SynchronousTestCase):
    """How many may come in."""

    def setUp(self) -> None:
        self.stage = ConnectionStage()

    def test_a_listener_has_so_many(self) -> None:
        limits = ListenerConnections(set(), limit=2)
        self.stage.listener.connections = limits
        first = self.stage.connect()
        self.stage.connect()
        self.assertEqual(str(limits.refusal("x")), "The server is over max_connections (2); try again later.")
        first.leave()
        self.assertIsNone(limits.refusal("x"))

    def test_so_does_an_address(self) -> None:
        limits = ListenerConnections(set(), limit_of_address=1)
        self.stage.listener.connections = limits
        client = self.stage.connect()
        host = client.connection.host
        self.assertIn("max_connections_per_address (1)", str(limits.refusal(host)))
        self.assertIsNone(limits.refusal("198.51.100.7"))
        client.leave()
        self.assertIsNone(limits.refusal(host))

    def test_two_listeners_share_the_connections_and_not_their_numbers(self) -> None:
        connections = Connections(ConnectionStage().stage.clock)
        stage = ConnectionStage()
        stage.listener.connections = connections.for_listener(limit=1)
        client = stage.connect()
        self.assertEqual(connections.open, {client.connection})
        self.assertIsNone(connections.for_listener(limit=1).refusal("x"))

    def test_descriptors_are_kept_back(self) -> None:
        self.assertEqual(most_connections(10_000, 1024), 1024 - RESERVE - 2 * most_at_others(1024))
        self.assertEqual(most_connections(100, 1024), 100)
        self.assertEqual(most_connections(0, 100_000), 100_000 - MOST_RESERVED)

    def test_a_listener_without_predictions_has_its_share(self) -> None:
        self.assertEqual([most_at_others(each) for each in (256, 4096, 1_000_000)], [64, 256, 1024])

    def test_descriptors_are_left_for_the_rest(self) -> None:
        for limit, descriptors, expected in (
            (0, 1024, 768),
            (100, 1024, 100),
            (0, FEWEST_DESCRIPTORS, FEWEST_AT_OTHERS),
            (5000, 1024, 768),
        ):
            self.assertEqual(expected, most_connections(limit, descriptors))


class OverLimitTests(SynchronousTestCase):
    """Connections over a limit: one answer each, and few at a time."""

    def setUp(self) -> None:
        self.stage = ConnectionStage()
        self.connections = Connections(self.stage.stage.clock, TIMEOUTS)
        self.limits = self.stage.listener.connections = self.connections.for_listener(limit=1)
        self.admitted = self.stage.connect()

    def test_a_prediction_is_told_of_the_limit(self) -> None:
        for request in (
            PREDICTION,
            PREDICTION * 2,
            PREDICTION.replace(b"Content-Length: 0", b"Transfer-Encoding: chunked"),
            b"POST /v1/models/noop:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        ):
            extra = self.stage.connect()
            extra.send(request)
            self.assertEqual((extra.statuses, extra.is_closing), ([503], True))
            self.assertIn(b'"limit": "max_connections"', extra.got[0].body)
            self.assertEqual(extra.got[0].headers[b"connection"], b"close")
            self.assertIn(b"retry-after", extra.got[0].headers)
            extra.leave()
        self.assertEqual(self.stage.asked, [])

    def test_anything_else_is_answered_once(self) -> None:
        for path in (b"/ping", b"/health/live", b"/metrics", b"/nothing"):
            extra = self.stage.connect()
            extra.send(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path * 2)
            self.stage.turn()
            self.assertNotIn(503, extra.statuses)
            self.assertEqual((len(extra.got), extra.is_closing), (1, True), path)
            self.assertEqual(extra.got[0].headers[b"connection"], b"close")

    def test_a_prediction_that_others_may_ask_is_not_remembered(self) -> None:
        self.admitted.send(PREDICTION)
        self.stage.settle()
        extra = self.stage.connect()
        extra.send(PREDICTION)
        self.assertEqual((self.admitted.statuses, extra.statuses), ([200], [503]))
        self.admitted.send(PREDICTION)
        self.stage.settle()
        self.assertEqual(self.admitted.statuses, [200, 200])

    def test_the_oldest_that_has_not_asked_makes_room(self) -> None:
        extras = [self.stage.connect() for _ in range(MOST_OVER_LIMIT)]
        extras[1].send(b"GET /pi")
        newest = self.stage.connect()
        self.assertEqual((extras[0].statuses, extras[0].transport.disconnecting), ([503], True))
        self.stage.connect()
        self.assertTrue(extras[1].transport.disconnecting)
        self.assertFalse(extras[2].is_closing)
        newest.send(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        self.stage.turn()
        self.assertEqual(newest.statuses, [200])

    def test_one_that_has_asked_makes_no_room(self) -> None:
        extras = [self.stage.connect() for _ in range(MOST_OVER_LIMIT)]
        for extra in extras:
            extra.send(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        newest = self.stage.connect()
        self.assertEqual((newest.statuses, newest.transport.disconnecting), ([503], True))
        self.stage.turn()
        self.assertEqual([extra.statuses for extra in extras], [[200]] * MOST_OVER_LIMIT)

    def test_one_that_asks_nothing_is_turned_away(self) -> None:
        self.connections.start()
        self.addCleanup(self.connections.close, 0.0)
        silent, slow = self.stage.connect(), self.stage.connect()
        slow.send(b"GET /pi")
        self.stage.stage.clock.pump([1.0] * 4)
        for extra in (silent, slow):
            self.assertEqual((extra.statuses, extra.transport.disconnecting), ([503], True))
        self.assertFalse(self.admitted.is_closing)

    def test_those_over_the_limit_do_not_count(self) -> None:
        extras = [self.stage.connect() for _ in range(3)]
        self.admitted.leave()
        self.assertIsNone(self.limits.refusal("x"))
        for extra in extras:
            extra.leave()
        admitted = self.stage.connect()
        admitted.send(PREDICTION)
        self.stage.settle()
        self.assertEqual(admitted.statuses, [200])
        self.assertEqual(self.connections.open, {admitted.connection})
