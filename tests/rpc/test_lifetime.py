"""How connections end: by age, by silence, by the server's end, by clients' manners."""

from __future__ import annotations

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from modelserver.http1.limits import ConnectionTimeouts
from modelserver.rpc.codes import Code
from modelserver.rpc.connection import RpcConnection
from modelserver.rpc.http2 import window_update
from modelserver.rpc.lifetime import Allowance
from modelserver.rpc.limits import RpcLimits
from tests.harness.http2_client import message
from tests.harness.rpc import RpcClient, RpcStage
from tests.harness.transports import MemoryTransport, TlsTransport

LIMITS = RpcLimits()
CALM = 11


class AgeTests(SynchronousTestCase):
    """Connections that may live 60 seconds, and then 5 for their calls."""

    def setUp(self) -> None:
        self.stage = RpcStage(limits=evolve(LIMITS, max_age=60.0, age_grace=5.0))
        self.client = self.stage.connect()
        self.stage.factory.doStart()
        self.addCleanup(self.stage.factory.doStop)

    def test_an_idle_client_is_asked_to_connect_anew(self) -> None:
        self.stage.advance(59.0)
        self.client.pump()
        self.assertEqual(([], False), (self.client.http2.goaways, self.client.is_ended))
        self.stage.advance(1.5)
        self.client.pump()
        self.assertEqual(0, self.client.http2.goaways[0][0])
        self.assertTrue(self.client.is_ended)

    def test_a_call_in_hand_is_finished(self) -> None:
        answer = self.client.ask("Keep")
        self.stage.advance(61.0)
        self.client.pump()
        self.assertTrue(self.client.http2.goaways)
        self.stage.advance(3.0)
        self.stage.site.keep.calls[0].reply(b"in time")
        self.client.pump()
        self.assertEqual(([b"in time"], 0), (answer.messages, answer.status))
        self.assertTrue(self.client.is_ended)

    def test_a_call_that_takes_longer_is_told_so(self) -> None:
        answer = self.client.ask("Keep")
        self.stage.advance(66.0)
        self.client.pump()
        self.assertEqual(14, answer.status)
        self.assertEqual([Code.CANCELLED], self.stage.site.keep.cancelled)
        self.assertTrue(self.client.is_ended)

    def test_clients_who_came_together_are_not_sent_away_together(self) -> None:
        others = [self.stage.connect() for _ in range(50)]
        ends = set()
        for tenth in range(150):
            self.stage.advance(0.5)
            for client in others:
                client.pump()
                if client.is_ended:
                    ends.add((client, tenth))
        firsts = {client: min(at for who, at in ends if who is client) for client, _ in ends}
        self.assertEqual(50, len(firsts))
        self.assertGreater(len(set(firsts.values())), 10)
        self.assertGreaterEqual(min(firsts.values()) / 2, 60 * 0.9 - 1)
        self.assertLessEqual(max(firsts.values()) / 2, 60 * 1.1 + 1)


class IdleTests(SynchronousTestCase):
    """Connections that may rest 30 seconds."""

    def setUp(self) -> None:
        self.stage = RpcStage(limits=evolve(LIMITS, idle=30.0))
        self.client = self.stage.connect()
        self.stage.factory.doStart()
        self.addCleanup(self.stage.factory.doStop)

    def wait(self, seconds: int) -> bool:
        """Let time pass; returns whether the client was sent away."""
        for _ in range(seconds):
            self.stage.advance(1.0)
            self.client.pump()
        return self.client.is_ended

    def test_one_that_asks_nothing_is_asked_to_connect_anew(self) -> None:
        self.assertFalse(self.wait(28))
        self.assertTrue(self.wait(5))
        self.assertEqual(0, self.client.http2.goaways[0][0])

    def test_each_call_buys_the_time_anew(self) -> None:
        for _ in range(3):
            self.assertFalse(self.wait(25))
            self.assertEqual(0, self.client.ask("Echo").status)
        self.assertFalse(self.wait(25))
        self.assertTrue(self.wait(8))

    def test_a_call_in_hand_is_no_rest(self) -> None:
        answer = self.client.ask("Keep")
        self.assertFalse(self.wait(90))
        self.stage.site.keep.calls[0].reply(b"late")
        self.client.pump()
        self.assertEqual(([b"late"], 0), (answer.messages, answer.status))
        self.assertFalse(self.wait(28))
        self.assertTrue(self.wait(5))


class SignsOfLifeTests(SynchronousTestCase):
    """Clients are asked after 10 s of silence, and have 2 s to answer."""

    def setUp(self) -> None:
        self.stage = RpcStage(limits=evolve(LIMITS, keepalive=10.0, keepalive_timeout=2.0))
        self.client = self.stage.connect()
        self.stage.factory.doStart()
        self.addCleanup(self.stage.factory.doStop)

    def test_one_that_answers_stays(self) -> None:
        for _ in range(100):
            self.stage.advance(1.0)
            self.client.pump()
        self.assertFalse(self.client.is_ended)

    def test_one_that_does_not_is_gone(self) -> None:
        self.client.ask("Keep")
        self.stage.advance(13.0)
        self.assertTrue(self.client.transport.is_aborted or self.client.is_ended)
        self.assertEqual({"silent": 1}, self.stage.factory.listener.ended.counts)
        self.flushLoggedErrors()


class MannersTests(SynchronousTestCase):
    """Clients that ask too often."""

    def setUp(self) -> None:
        self.stage = RpcStage(limits=evolve(LIMITS, pings_at_once=5, seconds_per_ping=10.0))
        self.client = self.stage.connect()
        self.other = self.stage.connect()

    def ping(self, client: RpcClient, count: int = 1) -> None:
        """Send pings."""
        for _ in range(count):
            client.http2.connection.ping(b"12345678")
        client.pump()

    def test_too_many_pings_end_the_connection_after_its_calls_and_no_other(self) -> None:
        answer = self.client.ask("Keep")
        self.ping(self.client, 6)
        self.assertEqual([(CALM, 1, b"too_many_pings")], self.client.http2.goaways)
        self.stage.site.keep.calls[0].reply(b"in hand")
        self.client.pump()
        self.assertEqual([b"in hand"], answer.messages)
        self.assertTrue(self.client.is_ended)
        self.assertEqual(0, self.other.ask("Echo").status)

    def test_one_that_goes_on_is_cut_off(self) -> None:
        self.client.ask("Keep")
        pings = b"\0\0\x08\x06\0\0\0\0\0" + bytes(8)
        self.client.connection.dataReceived(pings * 6)
        self.assertFalse(self.client.is_ended)
        self.client.connection.dataReceived(pings * 20)
        self.assertTrue(self.client.is_ended)
        self.assertEqual([Code.CANCELLED], self.stage.site.keep.cancelled)

    def test_pings_are_fine_while_there_are_answers(self) -> None:
        for _ in range(10):
            self.ping(self.client, 4)
            self.assertEqual(0, self.client.ask("Echo").status)

    def test_pings_are_fine_now_and_then(self) -> None:
        for _ in range(20):
            self.ping(self.client)
            self.stage.clock.advance(10.0)
        self.assertEqual([], self.client.http2.goaways)

    def test_settings_count_like_pings(self) -> None:
        for number in range(6):
            self.client.http2.connection.update_settings({4: 65_535 + number})
        self.client.pump()
        self.assertEqual(CALM, self.client.http2.goaways[0][0])

    def test_an_allowance_comes_back_with_time_and_never_beyond_its_most(self) -> None:
        allowance = Allowance(2, 0.5)
        self.assertEqual([True, True, False], [allowance.take(10.0) for _ in range(3)])
        self.assertEqual([True, False], [allowance.take(12.0) for _ in range(2)])
        self.assertEqual([True, True, False], [allowance.take(1000.0) for _ in range(3)])


class DrainTests(SynchronousTestCase):
    """The server ends."""

    def setUp(self) -> None:
        self.stage = RpcStage()
        self.client = self.stage.connect()
        self.done: list[None] = []

    def end(self, seconds: float = 5.0) -> Deferred[None]:
        """Close all connections."""
        closed = self.stage.connections.close(seconds)
        closed.addCallback(self.done.append)
        self.stage.turn()
        return closed

    def settle(self, *clients: RpcClient) -> None:
        """Carry what is said, and tell connections that they are lost."""
        for client in clients:
            client.pump()
            if client.is_ended and not client.is_lost:
                client.leave()

    def test_an_idle_client_is_let_go_at_once(self) -> None:
        self.end()
        self.settle(self.client)
        self.stage.advance(0.1)
        self.assertEqual(([None], set()), (self.done, self.stage.connections.open))
        self.assertEqual([0, 0], [code for code, _, _ in self.client.http2.goaways])

    def test_a_call_that_was_on_its_way_is_served(self) -> None:
        self.end()
        stream = self.client.http2.request("Echo", message(b"late"))
        self.client.pump()
        self.assertEqual(0, self.client.http2.answers[stream].status)

    def test_a_call_in_hand_is_answered_first(self) -> None:
        answer = self.client.ask("Keep")
        self.end()
        self.settle(self.client)
        self.stage.advance(1.0)
        self.assertEqual([], self.done)
        self.stage.site.keep.calls[0].reply(b"done")
        self.settle(self.client)
        self.stage.advance(0.1)
        self.assertEqual(([b"done"], [None]), (answer.messages, self.done))

    def test_what_takes_longer_than_the_drain_is_told_so(self) -> None:
        answer = self.client.ask("Keep")
        self.end(2.0)
        self.settle(self.client)
        self.stage.advance(2.5)
        self.settle(self.client)
        self.assertEqual((14, [None]), (answer.status, self.done))
        self.assertEqual([Code.CANCELLED], self.stage.site.keep.cancelled)

    def test_an_answer_that_the_client_takes_piece_by_piece_has_longer(self) -> None:
        self.client.http2.takes = False
        answer = self.client.ask("Echo", bytes(200_000))
        self.stage.connections.close(2.0, 20.0).addCallback(self.done.append)
        self.stage.advance(5.0)
        self.settle(self.client)
        self.assertEqual((False, []), (self.client.transport.is_aborted, self.done))
        for stream in (None, 1):
            self.client.http2.connection.increment_flow_control_window(200_000, stream)
        self.settle(self.client)
        self.stage.advance(1.0)
        self.assertEqual(([bytes(200_000)], 0), (answer.messages, answer.status))
        self.assertEqual([None], self.done)

    def test_a_client_that_says_nothing_does_not_hold_the_end_up(self) -> None:
        silent = self.stage.factory.buildProtocol(None)
        silent.makeConnection(MemoryTransport())
        self.end(2.0)
        self.stage.advance(2.5)
        self.assertEqual([None], self.done)


class SlowClientTests(SynchronousTestCase):
    """Clients that take their time."""

    def setUp(self) -> None:
        self.stage = RpcStage(timeouts=ConnectionTimeouts(head=10.0, body=30.0, write=20.0, rate=100))
        self.stage.connections.start()
        self.stage.factory.doStart()
        self.addCleanup(self.stage.factory.doStop)
        self.client = self.stage.connect()

    def test_one_that_never_says_hello_is_sent_away(self) -> None:
        transport = MemoryTransport()
        connection = self.stage.factory.buildProtocol(None)
        connection.makeConnection(transport)
        self.stage.advance(12.0)
        self.assertTrue(transport.is_closing)

    def test_one_that_has_said_hello_may_rest(self) -> None:
        for _ in range(100):
            self.stage.advance(10.0)
            self.client.pump()
        self.assertFalse(self.client.is_ended)

    def test_a_message_that_comes_too_slowly_ends_its_call_and_no_other(self) -> None:
        stream = self.client.http2.request("Keep")
        self.client.http2.data(stream, message(bytes(100_000))[:500])
        other = self.client.ask("Keep")
        self.stage.advance(11.0)
        self.client.pump()
        self.assertEqual((4, None), (self.client.http2.answers[stream].status, other.status))
        self.assertEqual({}, {k: v for k, v in self.client.connection.reception.calls.items() if k == stream})

    def test_a_message_may_not_take_for_ever(self) -> None:
        stream = self.client.http2.request("Keep")
        whole = message(bytes(100_000))
        answer, seconds = self.client.http2.answers[stream], 0
        while not answer.is_ended and seconds < 100:
            self.client.http2.data(stream, whole[seconds * 200 : seconds * 200 + 200])
            self.client.pump()
            self.stage.advance(1.0)
            self.client.pump()
            seconds += 1
        self.assertEqual((4, 30), (answer.status, seconds))

    def test_a_stream_may_rest(self) -> None:
        stream = self.client.http2.request("Talk")
        self.stage.advance(100.0)
        self.client.http2.data(stream, message(b"a"))
        self.client.pump()
        self.assertEqual([b"a"], self.client.http2.answers[stream].messages)

    def test_answers_that_are_never_taken_end_the_connection(self) -> None:
        self.client.http2.takes = False
        self.client.ask("Echo", bytes(200_000))
        self.stage.advance(25.0)
        self.assertTrue(self.client.is_ended)

    def test_answers_that_are_not_taken_share_a_memory_and_the_slowest_goes_first(self) -> None:
        stage = RpcStage(response_memory=300_000)
        stage.connections.start()
        slow, slower = stage.connect(), stage.connect()
        for client in (slower, slow):
            client.http2.takes = False
            client.ask("Echo", bytes(300_000))
            stage.advance(3.0)
        self.assertEqual((False, True), (slow.is_ended, slower.is_ended))


class LastAnswerTests(SynchronousTestCase):
    """Clients with answers on their way, whose connection has come to its end."""

    def setUp(self) -> None:
        self.stage = RpcStage(timeouts=ConnectionTimeouts(linger=4.0))
        self.stage.connections.start()
        self.stage.factory.doStart()
        self.addCleanup(self.stage.factory.doStop)

    def ended(self, transport: MemoryTransport) -> RpcClient:
        """A client who was asked to leave while it waited, and has its answer now."""
        client = self.stage.connect(transport=transport)
        client.ask("Keep")
        client.connection.finish()
        client.pump()
        self.stage.site.keep.calls[-1].reply(b"the last")
        client.pump()
        self.assertEqual([b"the last"], client.http2.answers[1].messages)
        return client

    def test_they_are_read_from_until_they_close_so_that_nothing_ends_the_answers(self) -> None:
        for transport in (MemoryTransport(), TlsTransport()):
            client = self.ended(transport)
            self.assertEqual((True, False), (client.is_ended, transport.is_closing))
            self.assertTrue(client.http2.goaways)
            client.send(window_update(0, 1000) * 100)
            self.stage.advance(3.0)
            self.assertEqual((True, False), (transport.is_reading, transport.is_closing))

    def test_they_have_so_long_for_it(self) -> None:
        for transport in (MemoryTransport(), TlsTransport()):
            client = self.ended(transport)
            self.stage.advance(6.0)
            self.assertTrue(client.transport.is_aborted)

    def test_one_that_speaks_something_else_sees_the_end_at_once(self) -> None:
        transport = MemoryTransport()
        connection = self.stage.factory.buildProtocol(None)
        connection.makeConnection(transport)
        connection.dataReceived(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual((True, False), (transport.is_write_closed, transport.disconnecting))

    def test_the_second_word_about_the_end_is_the_last(self) -> None:
        for end in (RpcConnection.close, RpcConnection.abort):
            client = self.ended(MemoryTransport())
            end(client.connection)
            self.assertTrue(client.transport.disconnecting)


class LimitTests(SynchronousTestCase):
    """A listener that may have two connections."""

    def test_calls_of_a_third_are_refused_with_the_limits_name(self) -> None:
        stage = RpcStage(limit=2)
        clients = [stage.connect() for _ in range(3)]
        statuses = [client.ask("Echo").status for client in clients]
        self.assertEqual([0, 0, 8], statuses)
        self.assertIn("max_connections", clients[2].http2.answers[1].text)
        self.assertEqual([False, False, True], [client.is_ended for client in clients])
        clients[0].leave()
        self.assertEqual(0, stage.connect().ask("Echo").status)
