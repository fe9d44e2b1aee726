"""How long a connection may take for what it does."""

from __future__ import annotations

from twisted.internet.address import UNIXAddress
from twisted.trial.unittest import SynchronousTestCase

from modelserver.http1.limits import LAST_QUESTIONS, SWEEP, Connections, ConnectionTimeouts
from modelserver.http1.states import Phase
from modelserver.jobs import Answer
from tests.harness.connections import Client, ConnectionStage
from tests.harness.transports import MemoryTransport

HEAD = b"POST /predictions/noop HTTP/1.1\r\nHost: x\r\nContent-Length: 4000\r\n\r\n"
CHUNKED = b"POST /predictions/noop HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
PING = b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n"
SHORT_HEAD = b"POST /predictions/noop HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
TIMEOUTS = ConnectionTimeouts(idle=16.0, head=8.0, linger=4.0, write=12.0, rate=100)
SHORT_TIMEOUTS = ConnectionTimeouts(idle=8.0, head=4.0, linger=2.0, body=100.0, write=3.0, rate=10)


class SlowTransport(MemoryTransport):
    """Its client takes no more of the answers than the test says."""

    left = 0

    def unsent(self) -> int:
        return self.left

    untaken = unsent


class EndingTransport(MemoryTransport):
    """It cannot be asked any more."""

    def unsent(self) -> int:
        raise LookupError("on purpose")

    untaken = unsent


class SweepTests(SynchronousTestCase):
    """One listener, looked over once a second."""

    def setUp(self) -> None:
        self.stage = ConnectionStage()
        self.clock = self.stage.stage.clock
        self.connections = Connections(self.clock, TIMEOUTS)
        self.stage.listener.connections = self.connections.for_listener()
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

    def test_a_look_that_fails_is_not_the_last(self) -> None:
        idle, broken = self.stage.connect(), self.stage.connect(EndingTransport())
        self.pass_time(3)
        self.assertEqual(3, len(self.flushLoggedErrors(LookupError)))
        broken.connection.connectionLost()
        self.pass_time(20)
        self.assertFalse(self.is_open(idle))

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
            slow.left -= 2 * TIMEOUTS.rate
        self.assertEqual((True, False), (stuck.is_aborted, slow.is_aborted))
        self.assertEqual(100_000 + slow.left, self.connections.unsent)

    def test_last_answer_may_be_taken_slowly_and_then_the_client_is_to_go(self) -> None:
        last = b"POST /predictions/noop HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        stuck, slow = SlowTransport(), SlowTransport()
        for transport in (stuck, slow):
            client = self.stage.connect(transport)
            transport.left = 3000
            client.send(last)
            self.stage.settle()
            self.assertEqual((True, False), (transport.is_write_closed, transport.disconnecting))
        for _ in range(10):
            self.pass_time(2)
            slow.left -= 2 * TIMEOUTS.rate
        self.assertEqual((True, False), (stuck.is_aborted, slow.is_aborted))
        for _ in range(5):
            self.pass_time(2)
            slow.left -= 2 * TIMEOUTS.rate
        self.assertEqual((0, False), (slow.left, slow.is_aborted))
        self.pass_time(TIMEOUTS.linger + 1)
        self.assertTrue(slow.is_aborted)

    def test_who_has_its_last_answer_and_stays_does_not_hold_the_end(self) -> None:
        client = self.stage.connect()
        client.send(b"BLAH\r\n\r\n")
        self.connections.close(60.0)
        self.pass_time(TIMEOUTS.linger + 2)
        self.assertTrue(client.transport.is_aborted)

    def test_close_waits_for_what_is_written(self) -> None:
        client = self.stage.connect()
        closed = self.connections.close(10.0)
        self.clock.advance(LAST_QUESTIONS)
        self.assertTrue(client.transport.disconnecting)
        self.clock.advance(1)
        self.assertNoResult(closed)
        client.leave()
        self.clock.advance(1)
        self.successResultOf(closed)

    def test_who_takes_an_answer_at_the_end_has_longer_unless_it_is_in_a_hurry(self) -> None:
        for hurries, ends in ((False, 9), (True, 3)):
            connections = Connections(self.clock, TIMEOUTS)
            self.stage.listener.connections = connections.for_listener()
            connections.start()
            transport = SlowTransport()
            self.stage.connect(transport).send(b"BLAH\r\n\r\n")
            transport.left = 10_000
            closed = connections.close(2.0, 8.0)
            for second in range(1, ends):
                transport.left -= 2 * TIMEOUTS.rate
                self.clock.advance(1)
                self.assertEqual((second >= ends - 1), transport.is_aborted, second)
                if hurries:
                    connections.hurry()
            self.successResultOf(closed)

    def test_close_waits_no_longer_than_it_may(self) -> None:
        self.stage.connect()
        closed = self.connections.close(2.0)
        self.clock.advance(1)
        self.assertNoResult(closed)
        self.clock.advance(1)
        self.successResultOf(closed)

    def test_at_the_end_each_client_may_ask_once_more(self) -> None:
        resting, asking = self.stage.connect(), self.stage.connect()
        asking.send(HEAD + b"x" * 4000)
        self.stage.turn()
        closed = self.connections.close(10.0)
        for client in (resting, asking):
            self.assertFalse(client.is_closing)
        self.stage.settle()
        resting.send(PING)
        for client in (resting, asking):
            (got,) = client.got
            self.assertEqual((200, b"close"), (got.status, got.headers[b"connection"]))
            self.assertTrue(client.is_closing)
            client.leave()
        self.clock.advance(1)
        self.successResultOf(closed)

    def test_at_the_end_twisted_web_closes_too(self) -> None:
        client = self.stage.connect()
        self.connections.close(10.0)
        client.send(CHUNKED + b"1\r\nx\r\n0\r\n\r\n")
        client.finish()
        self.assertEqual([b"close"], [got.headers[b"connection"] for got in client.got])
        self.assertTrue(client.is_closing)

    def test_who_is_left_at_the_very_end_is_cut_off(self) -> None:
        client = self.stage.connect()
        client.send(HEAD + b"x" * 4000)
        self.stage.turn()
        self.connections.close(2.0)
        self.clock.pump([1.0] * 2)
        self.assertTrue(client.transport.is_aborted)


class DeadlineTests(SynchronousTestCase):
    """What each client has time for, and what becomes of one that takes longer."""

    def setUp(self) -> None:
        self.stage = ConnectionStage()
        self.clock = self.stage.stage.clock
        self.connections = Connections(self.clock, SHORT_TIMEOUTS)
        self.stage.listener.connections = self.connections.for_listener()
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
        self.send(SHORT_HEAD)
        for _ in range(20):
            self.wait(1)
            self.send(b"x" * 20)
        self.assertEqual(self.client.statuses, [])
        self.send(b"x" * 600)
        self.stage.settle()
        self.assertEqual(self.client.statuses, [200])

    def test_a_body_that_is_too_slow_is_refused(self) -> None:
        self.send(SHORT_HEAD)
        for _ in range(6):
            self.wait(1)
            self.send(b"x" * 5)
        self.assertEqual(self.client.statuses, [408])

    def test_a_body_has_less_time_when_memory_for_bodies_is_short(self) -> None:
        memory = self.connections.memory = self.stage.listener.memory
        memory.limit = 1000
        self.send(SHORT_HEAD)
        for _ in range(29):
            self.wait(1)
            self.send(b"x" * 20)
        self.assertEqual((580, []), (memory.used, self.client.statuses))
        memory.used += 200  # 22 % are left, of 100 s
        self.wait(1)
        self.assertEqual(([408], 200), (self.client.statuses, memory.used))

    def test_a_body_has_an_end_with_no_limit_of_memory(self) -> None:
        self.send(SHORT_HEAD)
        for _ in range(99):
            self.wait(1)
            self.send(b"x" * 10)
        self.assertEqual([], self.client.statuses)
        self.wait(2)
        self.assertEqual([408], self.client.statuses)

    def test_the_same_for_a_body_that_twisted_web_reads(self) -> None:
        self.send(SHORT_HEAD.replace(b"Content-Length: 1000", b"Transfer-Encoding: chunked") + b"ff\r\n")
        for _ in range(6):
            self.wait(1)
            self.send(b"x")
        self.assertEqual(self.client.statuses, [408])

    def test_waiting_for_an_answer_has_no_end(self) -> None:
        self.send(SHORT_HEAD + b"x" * 1000)
        self.wait(100)
        self.assertIs(self.client.connection.phase, Phase.BUSY)
        self.assertFalse(self.client.is_closing)

    def test_a_refused_client_may_read_why_and_is_then_cut_off(self) -> None:
        self.send(b"GARBAGE\r\n\r\n")
        self.assertEqual(self.client.statuses, [400])
        self.wait(4)
        self.assertTrue(self.client.transport.is_aborted)

    def test_a_client_that_takes_nothing_of_its_answer_is_cut_off(self) -> None:
        self.client.connection._unsent = lambda: 1000
        self.send(SHORT_HEAD + b"x" * 1000)
        self.wait(3)
        self.assertFalse(self.client.transport.is_aborted)
        self.wait(2)
        self.assertTrue(self.client.transport.is_aborted)

    def test_a_client_that_takes_some_of_it_is_not(self) -> None:
        left = iter(range(100_000, 0, -SHORT_TIMEOUTS.rate))
        self.client.connection._unsent = lambda: next(left)
        self.send(SHORT_HEAD + b"x" * 1000)
        self.wait(50)
        self.assertFalse(self.client.transport.is_aborted)

    def test_closing_waits_for_what_is_written_and_not_for_ever(self) -> None:
        closed = self.connections.close(2.0)
        self.clock.advance(LAST_QUESTIONS)
        self.assertTrue(self.client.transport.disconnecting)
        self.clock.advance(0.5)
        self.assertNoResult(closed)
        self.client.leave()
        self.clock.advance(0.5)
        self.successResultOf(closed)
