"""Connections are looked over: each client has its time, and no more."""

from __future__ import annotations

from twisted.internet.address import UNIXAddress
from twisted.trial.unittest import SynchronousTestCase

from modelserver.http1.limits import (
    MOST_OVER_LIMIT,
    MOST_RESERVED,
    RESERVE,
    Connections,
    ConnectionTimeouts,
    ListenerConnections,
    most_at_others,
    most_connections,
)
from modelserver.http1.states import Phase
from tests.harness.connections import ChannelStage, Client, MemoryTransport

HEAD = b"POST /predictions/noop HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
PREDICTION = b"POST /predictions/noop HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
TIMEOUTS = ConnectionTimeouts(idle=8.0, head=4.0, linger=2.0, write=3.0, rate=10)


class ConnectionsTests(SynchronousTestCase):
    """Channels in memory, and a clock."""

    def setUp(self) -> None:
        self.stage = ChannelStage()
        self.clock = self.stage.stage.clock
        self.connections = Connections(self.clock, TIMEOUTS)
        self.stage.site.connections = self.connections.door()
        self.connections.start()
        self.addCleanup(self.connections.close, 0.0)
        self.client = self.stage.connect()

    def wait(self, seconds: int) -> None:
        self.clock.pump([1.0] * seconds)

    def send(self, data: bytes) -> Client:
        self.client.send(data)
        return self.client

    def test_an_idle_connection_has_its_time(self) -> None:
        self.wait(8)
        self.assertFalse(self.client.transport.disconnecting)
        self.wait(1)
        self.assertTrue(self.client.transport.disconnecting)
        self.assertEqual(self.client.statuses, [])

    def test_each_answer_begins_it_anew(self) -> None:
        for _ in range(4):
            self.wait(6)
            self.send(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual(self.client.statuses, [200] * 4)

    def test_the_access_log_shows_remotes_as_the_peers_do(self) -> None:
        unix = MemoryTransport()
        unix.peerAddr = UNIXAddress(b"/run/client")
        for client in (self.client, self.stage.connect(unix)):
            client.send(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual(self.stage.access.remotes, ["/192.0.2.1:54321", "127.0.0.1"])

    def test_a_head_has_its_time_however_it_comes(self) -> None:
        self.send(b"GET /ping HTTP/1.1\r\n")
        for _ in range(6):
            self.wait(1)
            self.send(b"X: y\r\n")
        self.assertEqual(self.client.statuses, [408])
        self.assertTrue(self.client.is_closing)

    def test_a_body_that_comes_fast_enough_may_take_long(self) -> None:
        self.send(HEAD)
        for _ in range(20):
            self.wait(1)
            self.send(b"x" * 20)
        self.assertEqual(self.client.statuses, [])
        self.send(b"x" * 600)
        self.stage.settle()
        self.assertEqual(self.client.statuses, [200])

    def test_a_body_that_is_too_slow_is_refused(self) -> None:
        self.send(HEAD)
        for _ in range(6):
            self.wait(1)
            self.send(b"x" * 5)
        self.assertEqual(self.client.statuses, [408])

    def test_the_same_for_a_body_that_twisted_web_reads(self) -> None:
        self.send(HEAD.replace(b"Content-Length: 1000", b"Transfer-Encoding: chunked") + b"ff\r\n")
        for _ in range(6):
            self.wait(1)
            self.send(b"x")
        self.assertEqual(self.client.statuses, [408])

    def test_waiting_for_an_answer_has_no_end(self) -> None:
        self.send(HEAD + b"x" * 1000)
        self.wait(100)
        self.assertIs(self.client.channel.phase, Phase.BUSY)
        self.assertFalse(self.client.is_closing)

    def test_a_refused_client_may_read_why_and_is_then_cut_off(self) -> None:
        self.send(b"GARBAGE\r\n\r\n")
        self.assertEqual(self.client.statuses, [400])
        self.wait(4)
        self.assertTrue(self.client.transport.is_aborted)

    def test_a_client_that_takes_nothing_of_its_answer_is_cut_off(self) -> None:
        self.client.channel._unsent = lambda: 1000
        self.send(HEAD + b"x" * 1000)
        self.wait(3)
        self.assertFalse(self.client.transport.is_aborted)
        self.wait(2)
        self.assertTrue(self.client.transport.is_aborted)

    def test_a_client_that_takes_some_of_it_is_not(self) -> None:
        left = iter(range(100_000, 0, -1))
        self.client.channel._unsent = lambda: next(left)
        self.send(HEAD + b"x" * 1000)
        self.wait(50)
        self.assertFalse(self.client.transport.is_aborted)

    def test_closing_waits_for_what_is_written_and_not_for_ever(self) -> None:
        closed = self.connections.close(2.0)
        self.assertTrue(self.client.transport.disconnecting)
        self.clock.advance(0.5)
        self.assertNoResult(closed)
        self.client.leave()
        self.clock.advance(0.5)
        self.successResultOf(closed)


class DoorTests(SynchronousTestCase):
    """How many may come in."""

    def setUp(self) -> None:
        self.stage = ChannelStage()

    def test_a_listener_has_so_many(self) -> None:
        door = ListenerConnections(set(), limit=2)
        self.stage.site.connections = door
        first = self.stage.connect()
        self.stage.connect()
        self.assertEqual(str(door.refusal("x")), "The server is over max_connections (2); try again later.")
        first.leave()
        self.assertIsNone(door.refusal("x"))

    def test_so_does_an_address(self) -> None:
        door = ListenerConnections(set(), limit_of_address=1)
        self.stage.site.connections = door
        client = self.stage.connect()
        host = client.channel.host
        self.assertIn("max_connections_per_address (1)", str(door.refusal(host)))
        self.assertIsNone(door.refusal("198.51.100.7"))
        client.leave()
        self.assertIsNone(door.refusal(host))

    def test_two_doors_share_the_channels_and_not_their_numbers(self) -> None:
        connections = Connections(ChannelStage().stage.clock)
        stage = ChannelStage()
        stage.site.connections = connections.door(limit=1)
        client = stage.connect()
        self.assertEqual(connections.channels, {client.channel})
        self.assertIsNone(connections.door(limit=1).refusal("x"))

    def test_descriptors_are_kept_back(self) -> None:
        self.assertEqual(most_connections(10_000, 1024), 1024 - RESERVE - 2 * most_at_others(1024))
        self.assertEqual(most_connections(100, 1024), 100)
        self.assertEqual(most_connections(0, 100_000), 100_000 - MOST_RESERVED)
        self.assertEqual(most_connections(0, 100), 50)

    def test_a_listener_without_predictions_has_its_share(self) -> None:
        self.assertEqual([most_at_others(each) for each in (256, 4096, 1_000_000)], [64, 256, 1024])


class VisitorTests(SynchronousTestCase):
    """Connections over a limit: one answer each, and few at a time."""

    def setUp(self) -> None:
        self.stage = ChannelStage()
        self.connections = Connections(self.stage.stage.clock, TIMEOUTS)
        self.door = self.stage.site.connections = self.connections.door(limit=1)
        self.guest = self.stage.connect()

    def test_a_prediction_is_told_of_the_limit(self) -> None:
        for request in (
            PREDICTION,
            PREDICTION * 2,
            PREDICTION.replace(b"Content-Length: 0", b"Transfer-Encoding: chunked"),
            b"POST /v1/models/noop:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        ):
            visitor = self.stage.connect()
            visitor.send(request)
            self.assertEqual((visitor.statuses, visitor.is_closing), ([503], True))
            self.assertIn(b'"limit": "max_connections"', visitor.got[0].body)
            self.assertEqual(visitor.got[0].headers[b"connection"], b"close")
            self.assertIn(b"retry-after", visitor.got[0].headers)
            visitor.leave()
        self.assertEqual(self.stage.asked, [])

    def test_anything_else_is_answered_once(self) -> None:
        for path in (b"/ping", b"/health/live", b"/metrics", b"/nothing"):
            visitor = self.stage.connect()
            visitor.send(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path * 2)
            self.stage.turn()
            self.assertNotIn(503, visitor.statuses)
            self.assertEqual((len(visitor.got), visitor.is_closing), (1, True), path)
            self.assertEqual(visitor.got[0].headers[b"connection"], b"close")

    def test_a_prediction_that_others_may_ask_is_not_remembered(self) -> None:
        self.guest.send(PREDICTION)
        self.stage.settle()
        visitor = self.stage.connect()
        visitor.send(PREDICTION)
        self.assertEqual((self.guest.statuses, visitor.statuses), ([200], [503]))
        self.guest.send(PREDICTION)
        self.stage.settle()
        self.assertEqual(self.guest.statuses, [200, 200])

    def test_the_oldest_that_has_not_asked_makes_room(self) -> None:
        visitors = [self.stage.connect() for _ in range(MOST_OVER_LIMIT)]
        visitors[1].send(b"GET /pi")
        newest = self.stage.connect()
        self.assertEqual((visitors[0].statuses, visitors[0].transport.disconnecting), ([503], True))
        self.stage.connect()
        self.assertTrue(visitors[1].transport.disconnecting)
        self.assertFalse(visitors[2].is_closing)
        newest.send(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        self.stage.turn()
        self.assertEqual(newest.statuses, [200])

    def test_one_that_has_asked_makes_no_room(self) -> None:
        visitors = [self.stage.connect() for _ in range(MOST_OVER_LIMIT)]
        for visitor in visitors:
            visitor.send(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        newest = self.stage.connect()
        self.assertEqual((newest.statuses, newest.transport.disconnecting), ([503], True))
        self.stage.turn()
        self.assertEqual([visitor.statuses for visitor in visitors], [[200]] * MOST_OVER_LIMIT)

    def test_one_that_asks_nothing_is_turned_away(self) -> None:
        self.connections.start()
        self.addCleanup(self.connections.close, 0.0)
        silent, slow = self.stage.connect(), self.stage.connect()
        slow.send(b"GET /pi")
        self.stage.stage.clock.pump([1.0] * 4)
        for visitor in (silent, slow):
            self.assertEqual((visitor.statuses, visitor.transport.disconnecting), ([503], True))
        self.assertFalse(self.guest.is_closing)

    def test_visitors_do_not_count(self) -> None:
        visitors = [self.stage.connect() for _ in range(3)]
        self.guest.leave()
        self.assertIsNone(self.door.refusal("x"))
        for visitor in visitors:
            visitor.leave()
        guest = self.stage.connect()
        guest.send(PREDICTION)
        self.stage.settle()
        self.assertEqual(guest.statuses, [200])
        self.assertEqual(self.connections.channels, {guest.channel})


class BodyMemoryTests(SynchronousTestCase):
    """Bodies share so much memory."""

    def setUp(self) -> None:
        self.stage = ChannelStage()
        self.stage.site.memory.limit = 1500

    @property
    def used(self) -> int:
        return self.stage.site.memory.used

    def test_there_is_room_again_once_the_first_is_answered(self) -> None:
        first, second = self.stage.connect(), self.stage.connect()
        first.send(HEAD)
        second.send(HEAD)
        self.assertEqual(second.statuses, [503])
        self.assertIn(b"request_memory", second.got[0].body)
        first.send(b"x" * 1000)
        self.assertEqual(self.used, 1000)
        self.stage.settle()
        self.assertEqual((first.statuses, self.used), ([200], 0))

    def test_a_client_who_leaves_gives_it_back(self) -> None:
        client = self.stage.connect()
        client.send(HEAD)
        client.leave()
        self.assertEqual(self.used, 0)

    def test_chunked_bodies_are_counted_as_they_come(self) -> None:
        client = self.stage.connect()
        client.send(HEAD.replace(b"Content-Length: 1000", b"Transfer-Encoding: chunked"))
        client.send(b"3e8\r\n" + b"x" * 1000 + b"\r\n")
        self.assertEqual(self.used, 1000)
        client.send(b"3e8\r\n" + b"x" * 1000 + b"\r\n")
        self.assertEqual((client.statuses, self.used), ([503], 0))
