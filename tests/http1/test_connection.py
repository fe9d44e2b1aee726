"""What a connection answers, refuses and closes, request by request."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from modelserver.http1.connection import LONGEST_AHEAD, MOST_AT_ONCE
from modelserver.http1.head import RequestHead
from modelserver.jobs import Answer, Job, SharedSlot
from modelserver.rest.inference.front import InferenceEndpoint, InferenceSettings
from tests.harness.connections import ID, LARGEST_BODY, ConnectionStage, TwistedWebEndpoint
from tests.harness.requests import CHUNKED, HOT, OLD, PING, H
from tests.harness.transports import FillingTransport, TellingTransport, TlsTransport


class BrokenEndpoint(InferenceEndpoint):
    """Has a defect."""

    def predict(self, head: RequestHead, body: bytes | SharedSlot, observer: Any) -> Job | None:
        raise ZeroDivisionError("division by zero")


class ConnectionTests(SynchronousTestCase):
    """What a table cannot say."""

    def setUp(self) -> None:
        self.stage = ConnectionStage()
        self.client = self.stage.connect()

    def test_answer_has_the_headers_of_the_peers(self) -> None:
        self.client.send(HOT)
        self.stage.turn()
        self.stage.answer(Answer(201, b"Made\r\ncontent-type: text/plain\r\n", b"done"))
        (got,) = self.client.got
        self.assertEqual((201, b"Made", b"done"), (got.status, got.phrase, got.body))
        self.assertEqual(b"text/plain", got.headers[b"content-type"])
        self.assertEqual(b"00010203-0405-0607-0809-0a0b0c0d0e0f", got.headers[b"x-request-id"])
        self.assertEqual(b"no-cache", got.headers[b"pragma"])
        self.assertNotIn(b"server", got.headers)

    def test_body_that_names_the_model_reaches_the_handler_whole(self) -> None:
        body = b"model_name=noop&a=1"
        head = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        self.client.send(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.client.finish()
        (asked,) = self.stage.asked
        self.assertEqual(("noop", body), (asked.model, asked.body))

    def test_pipelined_requests_are_answered_in_order_one_by_one(self) -> None:
        bodies = [b"%03d" % number for number in range(20)]
        self.client.send(b"".join(H + b"Content-Length: 3\r\n\r\n" + body for body in bodies))
        self.stage.turn()
        self.assertEqual(1, len(self.stage.waiting()))
        self.client.finish()
        self.assertEqual(bodies, [got.body for got in self.client.got])

    def test_what_a_client_has_sent_ahead_goes_with_it(self) -> None:
        self.client.send(HOT * 3)
        self.stage.turn()
        self.stage.answer()
        self.client.leave()  # before the second one is read
        self.client.finish()
        self.assertEqual(1, len(self.stage.asked))

    def test_client_that_is_far_ahead_is_not_read(self) -> None:
        requests = 10 * LONGEST_AHEAD // len(HOT)
        self.client.send(HOT)
        for _ in range(requests):
            self.client.send(HOT)
        self.assertFalse(self.client.transport.is_reading)
        self.assertGreater(len(self.client.unread), 8 * LONGEST_AHEAD)
        self.client.finish()
        self.assertEqual([200] * (requests + 1), self.client.statuses)
        self.assertTrue(self.client.transport.is_reading)

    def test_flood_of_pings_is_answered_in_turns(self) -> None:
        count = 4 * LONGEST_AHEAD // len(PING)
        self.client.connection.dataReceived(PING * count)
        self.assertEqual([200], self.client.statuses)
        self.assertFalse(self.client.transport.is_reading)
        self.stage.stage.clock.pump([0] * count)
        self.assertEqual([200] * count, self.client.statuses)
        self.assertTrue(self.client.transport.is_reading)

    def test_client_that_takes_no_answers_is_not_read(self) -> None:
        # Its transport has more to write than it wants to keep.
        self.client.send(HOT * 2000)
        self.client.connection.pauseProducing()
        for _ in range(100):
            self.stage.settle()
        self.assertFalse(self.client.transport.is_reading)
        self.client.connection.resumeProducing()
        self.client.finish()
        self.assertEqual(2000, len(self.client.got))

    def test_client_that_leaves_takes_its_job_along(self) -> None:
        for request in (HOT, CHUNKED + b"3\r\nabc\r\n0\r\n\r\n"):
            stage = ConnectionStage()
            first, second = stage.connect(), stage.connect()
            first.send(HOT)
            second.send(request)
            stage.turn()
            second.leave()
            stage.settle()
            self.assertEqual([b"abc"], [asked.body for asked in stage.asked])
            self.assertEqual([200], first.statuses)
            self.assertEqual([], second.statuses)
            self.assertEqual({first.connection}, stage.connections)

    def test_client_that_leaves_in_a_body_asks_for_nothing(self) -> None:
        self.client.send(H + b"Content-Length: 5\r\n\r\nabc")
        self.client.leave()
        self.stage.settle()
        self.assertEqual([], self.stage.asked)

    def test_refusal_leaves_time_to_read_it(self) -> None:
        self.client.send(b"BLAH\r\n\r\n")
        self.assertTrue(self.client.transport.is_write_closed)
        self.assertFalse(self.client.transport.disconnecting)
        self.client.send(b"more\r\n\r\n" * 1000)
        self.stage.settle()
        self.assertEqual([400], self.client.statuses)
        self.assertTrue(self.client.transport.is_reading)

    def test_refusal_over_tls_closes_at_once(self) -> None:
        for transport in (TellingTransport(True), TlsTransport()):
            client = self.stage.connect(transport)
            client.send(b"BLAH\r\n\r\n")
            self.assertEqual([400], client.statuses)
            self.assertTrue(client.transport.disconnecting)

    def test_last_answer_over_tls_has_left_before_it_closes(self) -> None:
        transport = FillingTransport(True)
        transport.unsent = lambda: 1000  # type: ignore[attr-defined]  # as those that know
        client = self.stage.connect(transport)
        client.send(b"BLAH\r\n\r\n")
        self.assertFalse(transport.disconnecting)
        (sent,) = transport.told_when_sent
        sent()
        self.assertTrue(transport.disconnecting)

    def test_refusal_of_a_transport_that_tells(self) -> None:
        client = self.stage.connect(TellingTransport(False))
        client.send(b"BLAH\r\n\r\n")
        self.assertEqual([400], client.statuses)
        self.assertTrue(client.transport.is_write_closed)

    def test_older_client_that_asks_for_it_keeps_its_connection(self) -> None:
        """As ApacheBench does with ``-k``."""
        old = OLD + b"Connection: Keep-Alive\r\nContent-Length: 3\r\n\r\nabc"
        for stage in (self.stage, ConnectionStage(TwistedWebEndpoint)):
            client = stage.connect()
            client.send(old + old)
            client.finish()
            self.assertEqual([200, 200], client.statuses)
            self.assertEqual(b"keep-alive", client.got[0].headers[b"connection"])
            self.assertFalse(client.is_closing)

    def test_last_request_of_a_connection_needs_no_twisted_request(self) -> None:
        """As urllib asks each time, and ApacheBench without ``-k``."""
        length = b"Content-Length: 3\r\n"
        for asked in (
            H + b"Connection: close\r\n" + length + b"\r\nabc",
            OLD + length + b"\r\nabc",
            b"GET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            b"GET /ping HTTP/1.0\r\n\r\n",
        ):
            client = self.stage.connect()
            client.send(asked + HOT)
            client.finish()
            self.assertEqual([200], client.statuses)
            # Twisted Web writes names with capitals.
            self.assertIn(b"\r\nconnection: close\r\n", client.transport.value())
            self.assertTrue(client.transport.is_write_closed)

    def test_error_of_a_handler_closes_as_the_peers_do(self) -> None:
        self.client.send(HOT + HOT)
        self.stage.turn()
        self.stage.answer(Answer(418, b"Teapot\r\n", b"short and stout"))
        self.stage.settle()
        self.assertEqual([418], self.client.statuses)
        self.assertEqual(b"close", self.client.got[0].headers[b"connection"])
        self.assertTrue(self.client.is_closing)
        self.assertEqual(1, len(self.stage.asked))

    def test_defect_of_the_server_is_logged_and_answered(self) -> None:
        stage = ConnectionStage(BrokenEndpoint)
        client = stage.connect()
        client.send(HOT)
        self.assertEqual([500], client.statuses)
        self.assertNotIn(b"division", client.got[0].body)
        self.assertEqual([ZeroDivisionError], [failure.type for failure in stage.failures])

    def test_a_turn_answers_so_many_pings(self) -> None:
        ping = b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n"
        self.client.send(ping * (MOST_AT_ONCE + 3))
        self.assertEqual([200] * MOST_AT_ONCE, self.client.statuses)
        self.client.finish()
        self.assertEqual([200] * (MOST_AT_ONCE + 3), self.client.statuses)

    def test_a_prediction_that_ends_a_turn_holds_nothing_up(self) -> None:
        ping = b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n"
        for behind in (b"", ping):
            client = self.stage.connect()
            client.send(ping * (MOST_AT_ONCE - 1) + HOT + behind)
            client.finish()
            client.send(ping)
            client.finish()
            self.assertEqual([200] * (MOST_AT_ONCE + 1 + bool(behind)), client.statuses)

    def test_cors_lines_are_on_every_answer(self) -> None:
        line = b"access-control-allow-origin: *\r\n"
        stage = ConnectionStage(settings=InferenceSettings(LARGEST_BODY, line))
        client = stage.connect()
        client.send(HOT + CHUNKED + b"0\r\n\r\n" + PING + b"BLAH\r\n\r\n")
        client.finish()
        self.assertEqual([200, 200, 200, 400], client.statuses)
        self.assertEqual([b"*"] * 4, [got.headers.get(b"access-control-allow-origin") for got in client.got])

    def test_time_a_client_has_is_kept_with_its_job(self) -> None:
        self.client.send(H + b"X-Request-Timeout-Ms: 2000\r\nContent-Length: 3\r\n\r\nabc")
        self.stage.turn()
        ((_, jobs),) = self.stage.waiting()[0].batches
        self.assertEqual([2.0], [job.request.deadline for job in jobs])
        self.assertEqual([ID], [job.request.id for job in jobs])
