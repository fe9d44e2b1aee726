"""What a channel answers, refuses and closes, request by request."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from modelserver.http1.connection import LONGEST_AHEAD, MOST_AT_ONCE, Channel
from modelserver.http1.head import LONGEST_HEAD, Head
from modelserver.jobs import Answer, Job, SharedSlot
from modelserver.rest.inference.front import InferenceEndpoint, InferenceSettings
from tests.harness.connections import (
    ID,
    LARGEST_BODY,
    ChannelStage,
    TellingTransport,
    TlsTransport,
    TwistedWebFront,
)

H = b"POST /predictions/noop HTTP/1.1\r\nHost: x\r\n"
HOT = H + b"Content-Length: 3\r\n\r\nabc"
PING = b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = H + b"Transfer-Encoding: chunked\r\n\r\n"
OPEN, CLOSED = False, True

CASES: dict[str, tuple[list[bytes], list[int], bool]] = {
    "plain": ([HOT], [200], OPEN),
    "ping": ([PING], [200], OPEN),
    "three pipelined": ([HOT * 3], [200] * 3, OPEN),
    "plain, ping, plain pipelined": ([HOT + PING + HOT], [200] * 3, OPEN),
    "ping, plain, ping pipelined": ([PING + HOT + PING], [200] * 3, OPEN),
    "byte by byte": ([bytes([byte]) for byte in HOT], [200], OPEN),
    "body in pieces": ([H + b"Content-Length: 4000\r\n\r\n", *[b"x" * 1000] * 4, HOT], [200, 200], OPEN),
    "chunked": ([CHUNKED + b"3\r\nabc\r\n", b"0\r\n\r\n" + HOT], [200, 200], OPEN),
    "expect": ([H + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n", b"abc"], [100, 200], OPEN),
    "HTTP/1.0": ([b"POST /predictions/noop HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc"], [200], CLOSED),
    "close": ([H + b"Connection: close\r\nContent-Length: 3\r\n\r\nabc" + HOT], [200], CLOSED),
    "Content-Length with Transfer-Encoding": (
        [H + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
        [400],
        CLOSED,
    ),
    "Transfer-Encoding in HTTP/1.0": (
        [b"POST /predictions/noop HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
        [400],
        CLOSED,
    ),
    "two lengths": ([H + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"], [400], CLOSED),
    "the same length twice": ([H + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"], [400], CLOSED),
    "a list of lengths": ([H + b"Content-Length: 3, 3\r\n\r\nabc"], [400], CLOSED),
    "length with plus": ([H + b"Content-Length: +3\r\n\r\nabc"], [400], CLOSED),
    "length with minus": ([H + b"Content-Length: -3\r\n\r\nabc"], [400], CLOSED),
    "hexadecimal length": ([H + b"Content-Length: 0x3\r\n\r\nabc"], [400], CLOSED),
    "length without digits": ([H + b"Content-Length: \r\n\r\nabc"], [400], CLOSED),
    "endless length": ([H + b"Content-Length: " + b"9" * 400 + b"\r\n\r\nabc"], [400], CLOSED),
    "space before the colon": ([H + b"X : y\r\nContent-Length: 3\r\n\r\nabc"], [400], CLOSED),
    "folded header": ([H + b"X: y\r\n z\r\nContent-Length: 3\r\n\r\nabc"], [400], CLOSED),
    "NUL in a value": ([H + b"X: a\0b\r\nContent-Length: 3\r\n\r\nabc"], [400], CLOSED),
    "CR in a value": ([H + b"X: a\rb\r\nContent-Length: 3\r\n\r\nabc"], [400], CLOSED),
    "LF in a value": ([H + b"X: a\nb\r\nContent-Length: 3\r\n\r\nabc"], [400], CLOSED),
    "no colon": ([H + b"nonsense\r\n\r\n"], [400], CLOSED),
    "no name": ([H + b": value\r\n\r\n"], [400], CLOSED),
    "no request line": ([b"BLAH\r\n\r\n"], [400], CLOSED),
    "HTTP/2.0": ([b"GET /ping HTTP/2.0\r\nHost: x\r\n\r\n"], [400], CLOSED),
    "HTTP/0.9": ([b"GET /ping\r\n\r\n"], [400], CLOSED),
    "two spaces": ([b"GET  /ping HTTP/1.1\r\nHost: x\r\n\r\n"], [400], CLOSED),
    "bare LF after the request line": ([b"GET /ping HTTP/1.1\nHost: x\r\n\r\n"], [400], CLOSED),
    "head of 20 kB": ([H + b"X: " + b"y" * 20000 + b"\r\n\r\n"], [431], CLOSED),
    "endless head": ([H, *[b"X: " + b"y" * 5000] * 8], [431], CLOSED),
    "a thousand headers": ([H + b"A: b\r\n" * 1000 + b"\r\n"], [431], CLOSED),
    "long target": ([b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"], [414], CLOSED),
    "endless target": ([b"GET /" + b"a" * 5000, *[b"a" * 5000] * 4], [414], CLOSED),
    "unknown path": ([b"POST /nope HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"], [404], CLOSED),
    "unknown model": ([b"POST /predictions/nope HTTP/1.1\r\nHost: x\r\n\r\n"], [404], CLOSED),
    "DELETE is a prediction": ([b"DELETE /predictions/noop HTTP/1.1\r\nHost: x\r\n\r\n"], [200], OPEN),
    "PATCH is a prediction": (
        [b"PATCH /v2/models/noop/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"],
        [200],
        OPEN,
    ),
    "OPTIONS describes": ([b"OPTIONS /models/noop/invoke HTTP/1.1\r\nHost: x\r\n\r\n"], [200], OPEN),
    "OPTIONS without a name": ([b"OPTIONS /invocations HTTP/1.1\r\nHost: x\r\n\r\n"], [400], CLOSED),
    "OPTIONS with a name": (
        [b"OPTIONS /invocations?model_name=noop HTTP/1.1\r\nHost: x\r\n\r\n"],
        [200],
        OPEN,
    ),
    "wrong method": ([b"TRACE /predictions/noop HTTP/1.1\r\nHost: x\r\n\r\n"], [405], CLOSED),
    "empty line before": ([b"\r\n" + HOT], [200], OPEN),
    "empty lines between": ([HOT + b"\r\n" + HOT], [200, 200], OPEN),
    "no Host": ([b"GET /ping HTTP/1.1\r\n\r\n"], [400], CLOSED),
    "two Hosts": ([b"GET /ping HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n"], [400], CLOSED),
    "NUL in the path": ([b"GET /predictions/a%00b HTTP/1.1\r\nHost: x\r\n\r\n"], [400], CLOSED),
    "unknown coding": ([H + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"], [400], CLOSED),
    "chunked twice": ([H + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"], [400], CLOSED),
    "chunk size that is none": ([CHUNKED + b"zz\r\nabc\r\n0\r\n\r\n"], [400], CLOSED),
    "chunk size with a sign": ([CHUNKED + b"+3\r\nabc\r\n0\r\n\r\n"], [400], CLOSED),
    "chunk without its end": ([CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n"], [400], CLOSED),
    "large body": ([H + b"Content-Length: %d\r\n\r\n" % (LARGEST_BODY + 1)], [413], CLOSED),
    "largest body": ([H + b"Content-Length: %d\r\n\r\n" % LARGEST_BODY, b"x" * LARGEST_BODY], [200], OPEN),
    "large chunked body": ([CHUNKED + b"1000\r\n" + b"x" * 4096 + b"\r\n1\r\nx\r\n0\r\n\r\n"], [413], CLOSED),
    "chunks that go on and on": (
        [CHUNKED + (b"fff\r\n" + b"x" * 4095 + b"\r\n") * 5 + b"0\r\n\r\n" + HOT],
        [413],
        CLOSED,
    ),
    "large stock body": ([b"PUT /nope HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n"], [413], CLOSED),
    "good, then bad": ([HOT + b"BLAH\r\n\r\n" + HOT], [200, 400], CLOSED),
    "chunked, then bad": ([CHUNKED + b"0\r\n\r\nBLAH\r\n\r\n"], [200, 400], CLOSED),
    "error, then good": ([b"POST /predictions/nope HTTP/1.1\r\nHost: x\r\n\r\n" + HOT], [404], CLOSED),
    "stock error, then good": ([b"GET /nope HTTP/1.1\r\nHost: x\r\n\r\n" + HOT], [404], CLOSED),
    "bad timeout": ([H + b"X-Request-Timeout-Ms: soon\r\n\r\n"], [400], CLOSED),
}


class BrokenFront(InferenceEndpoint):
    """Has a defect."""

    def predict(self, head: Head, body: bytes | SharedSlot, observer: Channel) -> Job | None:
        raise ZeroDivisionError("division by zero")


OLD = b"POST /predictions/noop HTTP/1.0\r\nHost: x\r\n"


class ChannelCases(SynchronousTestCase):
    """A table of what is sent, what comes back, and whether the connection stays."""

    front_kind: type[InferenceEndpoint] = InferenceEndpoint

    def setUp(self) -> None:
        self.stage = ChannelStage(self.front_kind)

    def test_cases(self) -> None:
        for name, (pieces, statuses, closes) in CASES.items():
            for at_once in (True, False):
                self.stage.access.notes.clear()
                client = self.stage.connect()
                client.send_pieces(pieces, at_once)
                self.assertEqual((statuses, closes), (client.statuses, client.is_closing), name)
                self.assertEqual([], self.stage.failures, name)
                noted = [status for _, _, status in self.stage.access.notes]
                self.assertEqual([status for status in statuses if status != 100], noted, name)
                self.assertTrue(all(len(each) == 16 for each in self.stage.access.ids), name)
                client.leave()
        self.assertEqual(set(), self.stage.channels)


class StockChannelCases(ChannelCases):
    """The same, when Twisted Web has every request."""

    front_kind = TwistedWebFront


class ChannelTests(SynchronousTestCase):
    """What a table cannot say."""

    def setUp(self) -> None:
        self.stage = ChannelStage()
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
        self.client.channel.dataReceived(PING * count)
        self.assertEqual([200], self.client.statuses)
        self.assertFalse(self.client.transport.is_reading)
        self.stage.stage.clock.pump([0] * count)
        self.assertEqual([200] * count, self.client.statuses)
        self.assertTrue(self.client.transport.is_reading)

    def test_client_that_takes_no_answers_is_not_read(self) -> None:
        # Its transport has more to write than it wants to keep.
        self.client.send(HOT * 2000)
        self.client.channel.pauseProducing()
        for _ in range(100):
            self.stage.settle()
        self.assertFalse(self.client.transport.is_reading)
        self.client.channel.resumeProducing()
        self.client.finish()
        self.assertEqual(2000, len(self.client.got))

    def test_client_that_leaves_takes_its_job_along(self) -> None:
        for request in (HOT, CHUNKED + b"3\r\nabc\r\n0\r\n\r\n"):
            stage = ChannelStage()
            first, second = stage.connect(), stage.connect()
            first.send(HOT)
            second.send(request)
            stage.turn()
            second.leave()
            stage.settle()
            self.assertEqual([b"abc"], [asked.body for asked in stage.asked])
            self.assertEqual([200], first.statuses)
            self.assertEqual([], second.statuses)
            self.assertEqual({first.channel}, stage.channels)

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

    def test_refusal_of_a_transport_that_tells(self) -> None:
        client = self.stage.connect(TellingTransport(False))
        client.send(b"BLAH\r\n\r\n")
        self.assertEqual([400], client.statuses)
        self.assertTrue(client.transport.is_write_closed)

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

    def test_older_client_that_asks_for_it_keeps_its_connection(self) -> None:
        """As ApacheBench does with ``-k``."""
        old = OLD + b"Connection: Keep-Alive\r\nContent-Length: 3\r\n\r\nabc"
        for stage in (self.stage, ChannelStage(TwistedWebFront)):
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
        for stage in (self.stage, ChannelStage(TwistedWebFront)):
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
        for front in (InferenceEndpoint, TwistedWebFront):
            stage = ChannelStage(front)
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

    def test_stream_without_a_body_has_no_chunks(self) -> None:
        for front in (InferenceEndpoint, TwistedWebFront):
            stage = ChannelStage(front)
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

    def test_stream_that_fails_is_cut_off(self) -> None:
        self.client.send(HOT)
        self.stage.turn()
        (worker,) = self.stage.waiting()
        worker.send_part(b"one")
        worker.kill("response timeout")
        self.stage.turn()
        self.assertTrue(self.client.transport.is_aborted)
        self.assertFalse(self.client.transport.value().endswith(b"0\r\n\r\n"))

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
        stage = ChannelStage(BrokenFront)
        client = stage.connect()
        client.send(HOT)
        self.assertEqual([500], client.statuses)
        self.assertNotIn(b"division", client.got[0].body)
        self.assertEqual([ZeroDivisionError], [failure.type for failure in stage.failures])

    def test_head_is_read_once_for_all_connections(self) -> None:
        other = self.stage.connect()
        for client in (self.client, other, self.client, other):
            client.send(HOT)
            client.finish()
        self.assertEqual([200, 200], other.statuses)
        self.assertEqual(1, len(self.stage.site.heads.known))

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

    def test_long_heads_are_not_remembered(self) -> None:
        for filler, count in ((b"x" * 100, 1), (b"x" * 3000, 1)):
            for _ in range(2):
                self.stage.connect().send(H + b"X: " + filler + b"\r\nContent-Length: 0\r\n\r\n")
            self.assertEqual(count, len(self.stage.site.heads.known))

    def test_memo_is_bounded(self) -> None:
        for number in range(5000):
            self.client.send(b"GET /ping HTTP/1.1\r\nHost: x\r\nX: %d\r\n\r\n" % (number // 2))
        self.client.finish()
        self.assertEqual([200] * 5000, self.client.statuses)
        self.assertLessEqual(len(self.stage.site.heads.known), 2048)

    def test_heads_with_a_line_of_their_own_are_not_remembered_but_their_other_lines_are(self) -> None:
        for number in range(5000):
            self.client.send(b"GET /ping HTTP/1.1\r\nHost: x\r\nX: %d\r\n\r\n" % number)
        self.client.finish()
        self.assertEqual([200] * 5000, self.client.statuses)
        self.assertEqual({}, self.stage.site.heads.known)

    def test_head_of_exactly_the_limit_is_served(self) -> None:
        def head(size: int) -> bytes:
            start = b"GET /ping HTTP/1.1\r\nHost: x\r\nX: "
            return start + b"y" * (size - len(start) - 4) + b"\r\n\r\n"

        self.client.send(head(LONGEST_HEAD))
        self.client.send(head(LONGEST_HEAD + 1))
        self.client.finish()
        self.assertEqual([200, 431], self.client.statuses)

    def test_cors_lines_are_on_every_answer(self) -> None:
        line = b"access-control-allow-origin: *\r\n"
        stage = ChannelStage(settings=InferenceSettings(LARGEST_BODY, line))
        client = stage.connect()
        client.send(HOT + CHUNKED + b"0\r\n\r\n" + PING + b"BLAH\r\n\r\n")
        client.finish()
        self.assertEqual([200, 200, 200, 400], client.statuses)
        self.assertEqual([b"*"] * 4, [got.headers.get(b"access-control-allow-origin") for got in client.got])

    def test_management_listener_serves_nothing_plain(self) -> None:
        stage = ChannelStage(settings=InferenceSettings(LARGEST_BODY, b"", False))
        client = stage.connect()
        client.send(HOT)
        client.finish()
        self.assertEqual([], [head for head in stage.site.heads.known.values() if head.operation])

    def test_time_a_client_has_is_kept_with_its_job(self) -> None:
        self.client.send(H + b"X-Request-Timeout-Ms: 2000\r\nContent-Length: 3\r\n\r\nabc")
        self.stage.turn()
        ((_, jobs),) = self.stage.waiting()[0].batches
        self.assertEqual([2.0], [job.deadline for job in jobs])
        self.assertEqual([ID], [job.id for job in jobs])
