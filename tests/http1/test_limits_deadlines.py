"""Connections: how many there may be, and how long each may take for what it does."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from modelserver.http1.limits import SWEEP, Connections, ConnectionTimeouts, most_connections
from modelserver.jobs import Answer
from tests.harness.connections import ChannelStage, Client, MemoryTransport

HEAD = b"POST /predictions/noop HTTP/1.1\r\nHost: x\r\nContent-Length: 4000\r\n\r\n"
CHUNKED = b"POST /predictions/noop HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
PING = b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n"
TIMEOUTS = ConnectionTimeouts(idle=16.0, head=8.0, linger=4.0, write=12.0, rate=100)


class SlowTransport(MemoryTransport):
    """Its client takes no more of the answers than the test says."""

    left = 0

    def unsent(self) -> int:
        return self.left


class ConnectionsTests(SynchronousTestCase):
    """One listener, looked over once a second."""

    def setUp(self) -> None:
        self.stage = ChannelStage()
        self.clock = self.stage.stage.clock
        self.connections = Connections(self.clock, TIMEOUTS)
        self.stage.site.connections = self.connections.door()
        self.connections.start()

    def pass_time(self, seconds: float) -> None:
        """Let the sweeps happen."""
        self.clock.pump([SWEEP] * int(seconds / SWEEP))

    def is_open(self, client: Client) -> bool:
        return not client.is_closing

    def test_idle_connection_is_closed_and_a_used_one_is_not(self) -> None:
        idle, used = self.stage.connect(), self.stage.connect()
        for _ in range(4):
            self.pass_time(5)
            used.send(PING)
        self.assertEqual((False, True), (self.is_open(idle), self.is_open(used)))
        self.assertEqual([], idle.statuses)

    def test_head_that_takes_too_long_is_refused_however_it_drips(self) -> None:
        client = self.stage.connect()
        for byte in PING[:12]:
            client.send(bytes([byte]))
            self.pass_time(1)
        self.assertEqual([408], client.statuses)
        self.assertTrue(client.is_closing)

    def test_body_must_come_at_a_rate(self) -> None:
        for head, piece in ((HEAD, b"x" * 50), (CHUNKED, b"32\r\n" + b"x" * 50 + b"\r\n")):
            slow, fast = self.stage.connect(), self.stage.connect()
            for client in (slow, fast):
                client.send(head)
            for _ in range(12):
                slow.send(piece)
                fast.send(piece * 4)
                self.pass_time(1)
            self.assertEqual(([408], []), (slow.statuses, fast.statuses))

    def test_request_in_hand_may_take_as_long_as_it_takes(self) -> None:
        for request in (HEAD + b"x" * 4000, CHUNKED + b"1\r\nx\r\n0\r\n\r\n"):
            client = self.stage.connect()
            client.send(request)
            self.stage.turn()
            self.pass_time(60)
            self.assertTrue(self.is_open(client))
            self.stage.settle()
            self.assertEqual([200], client.statuses)

    def test_refused_client_is_cut_off_after_a_while(self) -> None:
        client = self.stage.connect()
        client.send(b"BLAH\r\n\r\n")
        self.pass_time(3)
        client.send(b"and so on")
        self.assertFalse(client.transport.is_aborted)
        self.pass_time(3)
        self.assertTrue(client.transport.is_aborted)

    def test_client_that_takes_nothing_of_its_answer_is_cut_off(self) -> None:
        stuck, slow = SlowTransport(), SlowTransport()
        for transport in (stuck, slow):
            client = self.stage.connect(transport)
            client.send(HEAD + b"x" * 4000)
            self.stage.turn()
            self.stage.answer(Answer(200, b"", b"x" * 100))
            transport.left = 100_000
        for _ in range(10):
            self.pass_time(2)
            slow.left -= 1
        self.assertEqual((True, False), (stuck.is_aborted, slow.is_aborted))
        self.assertEqual(100_000 + slow.left, self.connections.unsent)

    def test_close_waits_for_what_is_written(self) -> None:
        client = self.stage.connect()
        closed = self.connections.close(10.0)
        self.assertTrue(client.transport.disconnecting)
        self.clock.advance(1)
        self.assertNoResult(closed)
        client.leave()
        self.clock.advance(1)
        self.successResultOf(closed)

    def test_close_waits_no_longer_than_it_may(self) -> None:
        self.stage.connect()
        closed = self.connections.close(2.0)
        self.clock.advance(1)
        self.assertNoResult(closed)
        self.clock.advance(1)
        self.successResultOf(closed)


class DoorTests(SynchronousTestCase):
    """Limits in all, and by address."""

    def test_descriptors_are_left_for_the_rest(self) -> None:
        for limit, descriptors, expected in (
            (0, 1024, 768),
            (100, 1024, 100),
            (0, 100, 50),
            (5000, 1024, 768),
        ):
            self.assertEqual(expected, most_connections(limit, descriptors))
