"""Streamed answers, and answers without a body."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from modelserver.errors import PredictionFailed
from modelserver.jobs import Answer
from modelserver.rest.inference.front import InferenceEndpoint
from tests.harness.connections import (
    ConnectionStage,
    TwistedWebEndpoint,
)
from tests.harness.requests import HOT, OLD, PING, H


class StreamTests(SynchronousTestCase):
    """An answer in parts goes to its client as the parts come."""

    def setUp(self) -> None:
        self.stage = ConnectionStage()
        self.client = self.stage.connect()

    def test_streamed_answer_comes_in_chunks_and_the_connection_stays(self) -> None:
        self.client.send(HOT + PING)
        self.stage.turn()
        (worker,) = self.stage.waiting()
        for part in (b"one ", b"", b"two "):
            worker.send_part(part)
        worker.answer(Answer(200, b"", b"three"))
        self.client.finish()
        streamed, ping = self.client.got
        self.assertEqual(b"one two three", streamed.body)
        self.assertEqual(b"chunked", streamed.headers[b"transfer-encoding"])
        self.assertNotIn(b"content-length", streamed.headers)
        self.assertEqual(200, ping.status)

    def test_last_answer_of_a_connection_may_be_a_stream(self) -> None:
        self.client.send(H + b"Connection: close\r\nContent-Length: 3\r\n\r\nabc")
        self.stage.turn()
        (worker,) = self.stage.waiting()
        worker.send_part(b"one ")
        worker.answer(Answer(200, b"", b"two"))
        self.client.finish()
        (streamed,) = self.client.got
        self.assertEqual((b"one two", b"close"), (streamed.body, streamed.headers[b"connection"]))
        self.assertTrue(self.client.transport.is_write_closed)

    def test_stream_to_an_older_client_ends_with_the_connection(self) -> None:
        for stage in (self.stage, ConnectionStage(TwistedWebEndpoint)):
            client = stage.connect()
            client.send(OLD + b"Connection: keep-alive\r\nContent-Length: 3\r\n\r\nabc")
            stage.turn()
            (worker,) = stage.waiting()
            worker.send_part(b"one ")
            worker.answer(Answer(200, b"", b"two"))
            stage.turn()
            head, _, body = client.transport.value().partition(b"\r\n\r\n")
            self.assertEqual(b"one two", body)
            self.assertNotIn(b"chunked", head)
            self.assertIn(b"connection: close", head.lower())
            self.assertTrue(client.is_closing)

    def test_answer_without_a_body_tells_no_length(self) -> None:
        for front in (InferenceEndpoint, TwistedWebEndpoint):
            stage = ConnectionStage(front)
            client = stage.connect()
            for status, phrase in ((204, b"Nothing"), (304, b"Old")):
                client.send(HOT)
                stage.turn()
                stage.answer(Answer(status, phrase + b"\r\nX-Own: yes\r\n", b""))
                stage.settle()
            client.send(PING)
            client.finish()
            *bare, ping = client.got
            self.assertEqual([(204, b"Nothing"), (304, b"Old")], [(got.status, got.phrase) for got in bare])
            for got in bare:
                self.assertEqual(b"yes", got.headers[b"x-own"])
                self.assertTrue(got.headers.keys().isdisjoint((b"content-length", b"transfer-encoding")))
            self.assertEqual((200, False), (ping.status, client.is_closing))

    def test_errors_of_such_statuses_keep_to_them(self) -> None:
        for front in (InferenceEndpoint, TwistedWebEndpoint):
            stage = ConnectionStage(front)
            client = stage.connect()
            for status in (204, 205, 304, 299):
                client.send(HOT)
                stage.turn()
                stage.answer(PredictionFailed(status, "no"))
                stage.settle()
            client.send(PING)
            client.finish()
            *bare, other, ping = client.got
            self.assertEqual([(204, b""), (205, b""), (304, b"")], [(got.status, got.body) for got in bare])
            self.assertEqual(
                [None, b"0", None], [got.headers.get(b"content-length") for got in bare], front.__name__
            )
            self.assertEqual((299, True), (other.status, b'"no"' in other.body))
            self.assertEqual((200, False), (ping.status, client.is_closing))
            self.assertNotIn(b"connection: close", client.transport.value().lower())

    def test_stream_without_a_body_has_no_chunks(self) -> None:
        for front in (InferenceEndpoint, TwistedWebEndpoint):
            stage = ConnectionStage(front)
            client = stage.connect()
            client.send(HOT + PING)
            stage.turn()
            (worker,) = stage.waiting()
            for _ in range(2):  # the worker leaves bodies out
                worker.events.part_arrived(
                    worker.batches[0][0], [Answer(204, b"\r\nts_stream_next: true\r\n", b"")]
                )
            worker.answer(Answer(204, b"\r\nts_stream_next: false\r\n", b""))
            client.finish()
            streamed, ping = client.got
            self.assertEqual((204, b"", 200), (streamed.status, streamed.body, ping.status))
            self.assertTrue(streamed.headers.keys().isdisjoint((b"content-length", b"transfer-encoding")))

    def test_parts_that_come_together_are_a_chunk_each(self) -> None:
        self.client.send(HOT)
        self.stage.turn()
        (worker,) = self.stage.waiting()
        parts = [Answer(200, b"", b"one"), Answer(200, b"", b""), Answer(200, b"", b"three")]
        worker.events.part_arrived(worker.batches[0][0], parts)
        head, _, body = self.client.transport.value().partition(b"\r\n\r\n")
        self.assertIn(b"transfer-encoding: chunked", head.lower())
        self.assertEqual(body, b"3\r\none\r\n5\r\nthree\r\n")

    def test_stream_that_fails_is_cut_off(self) -> None:
        """By a reset where the end of the connection would make it whole: else a reset may cost parts."""
        old = OLD + b"Content-Length: 3\r\n\r\nabc"
        for front in (InferenceEndpoint, TwistedWebEndpoint):
            for request, is_reset in ((HOT, False), (old, True)):
                stage = ConnectionStage(front)
                client = stage.connect()
                client.send(request)
                stage.turn()
                (worker,) = stage.waiting()
                worker.send_part(b"one")
                worker.kill("response timeout")
                stage.turn()
                self.assertEqual((True, is_reset), (client.transport.is_aborted, client.transport.is_reset))
                self.assertFalse(client.transport.value().endswith(b"0\r\n\r\n"))
