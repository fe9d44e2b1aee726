"""Clients that send no more: those that wait get their answers, those that have left are found out."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from modelserver.http1.half_close import FIRST_LOOK, INTERIM, LONGEST_PAUSE
from modelserver.jobs import Answer
from tests.harness.connections import ConnectionStage, TwistedWebEndpoint
from tests.harness.requests import CHUNKED, HOT, OLD, PING, H
from tests.harness.transports import MemoryTransport


class TellingTransport(MemoryTransport):
    """Knows whether the client has left, as the loop's transports do."""

    has_left = False

    def is_gone(self) -> bool:
        return self.has_left


class HalfCloseTests(SynchronousTestCase):
    """One client, and its half of the connection."""

    def setUp(self) -> None:
        self.use(ConnectionStage())

    def use(self, stage: ConnectionStage) -> None:
        self.stage, self.clock = stage, stage.stage.clock
        self.transport = TellingTransport()
        self.client = stage.connect(self.transport)

    def end(self, data: bytes) -> None:
        """Send, and say that this was all."""
        self.client.send(data)
        self.client.connection.readConnectionLost()

    def test_the_answer_to_a_whole_request_comes_and_then_the_end(self) -> None:
        for endpoint in (None, TwistedWebEndpoint):
            for request in (HOT, HOT + HOT + HOT, CHUNKED + b"3\r\nabc\r\n0\r\n\r\n" + HOT, HOT * 30 + PING):
                self.use(ConnectionStage() if endpoint is None else ConnectionStage(endpoint))
                self.end(request)
                self.assertFalse(self.client.is_closing)
                self.client.finish()
                self.assertEqual(
                    [200] * (request.count(b"POST ") + request.count(b"GET ")), self.client.statuses
                )
                self.assertTrue(self.transport.disconnecting)

    def test_without_a_whole_request_the_connection_closes_at_once(self) -> None:
        for sent in (b"", HOT[:20], H + b"Content-Length: 9\r\n\r\nabc", CHUNKED + b"3\r\nabc\r\n"):
            self.use(ConnectionStage())
            self.end(sent)
            self.stage.turn()
            self.stage.turn()
            self.assertTrue(self.transport.disconnecting, sent)
            self.assertEqual([], self.client.statuses)

    def test_what_is_not_whole_behind_a_request_does_not_hold_the_end_up(self) -> None:
        self.end(HOT + HOT[:20])
        self.client.finish()
        self.assertEqual([200], self.client.statuses)
        self.assertTrue(self.transport.disconnecting)

    def test_a_refused_client_that_ends_is_closed(self) -> None:
        self.client.send(b"GARBAGE\r\n\r\n")
        self.assertFalse(self.transport.disconnecting)
        self.client.connection.readConnectionLost()
        self.assertTrue(self.transport.disconnecting)

    def test_a_quick_answer_is_all_that_is_sent(self) -> None:
        self.end(HOT)
        self.stage.settle()
        self.clock.advance(10 * LONGEST_PAUSE)
        self.assertEqual([200], self.client.statuses)
        self.assertEqual(b"close", self.client.got[0].headers[b"connection"])

    def test_who_has_left_is_found_out_by_an_interim_response(self) -> None:
        for endpoint in (None, TwistedWebEndpoint):
            self.use(ConnectionStage() if endpoint is None else ConnectionStage(endpoint))
            self.end(HOT)
            self.stage.turn()
            self.clock.advance(FIRST_LOOK)
            self.assertEqual(INTERIM, self.transport.value())
            self.transport.has_left = True
            self.clock.advance(FIRST_LOOK)
            self.assertTrue(self.transport.is_aborted)

    def test_who_waits_gets_one_interim_response_however_long_it_takes(self) -> None:
        self.end(HOT)
        self.stage.turn()
        self.clock.pump([1.0] * 60)
        self.assertEqual(INTERIM, self.transport.value())
        self.stage.settle()
        self.assertEqual([100, 200], self.client.statuses)
        self.clock.advance(LONGEST_PAUSE)
        self.assertFalse(self.transport.is_aborted)

    def test_where_the_transport_cannot_tell_it_is_sent_again(self) -> None:
        transport = MemoryTransport()
        client = self.stage.connect(transport)
        client.send(HOT)
        client.connection.readConnectionLost()
        self.clock.pump([FIRST_LOOK] * 3)
        self.assertEqual(INTERIM * 2, transport.value())

    def test_old_clients_know_no_interim_responses(self) -> None:
        self.end(OLD + b"Content-Length: 3\r\n\r\nabc")
        self.clock.pump([1.0] * 10)
        self.assertEqual(b"", self.transport.value())
        self.stage.settle()
        self.assertEqual([200], self.client.statuses)

    def test_nothing_goes_between_the_parts_of_an_answer(self) -> None:
        self.end(HOT)
        self.stage.turn()
        (worker,) = self.stage.waiting()
        worker.send_part(b"one ")
        self.clock.pump([1.0] * 10)
        worker.answer(Answer(200, b"", b"two"))
        self.client.finish()
        self.assertEqual([b"one two"], [got.body for got in self.client.got])
        self.assertTrue(self.transport.disconnecting)
