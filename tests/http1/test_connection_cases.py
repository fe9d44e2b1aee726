"""A table of what is sent to a connection, what comes back, and whether the connection stays."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from modelserver.rest.inference.front import InferenceEndpoint
from tests.harness.connections import (
    LARGEST_BODY,
    ConnectionStage,
    TwistedWebEndpoint,
)
from tests.harness.requests import CHUNKED, HOT, PING, H

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
    "expect, and send at once": (
        [H + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\na", b"bc" + HOT],
        [100, 200, 200],
        OPEN,
    ),
    "expect with too large a body": (
        [H + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % (LARGEST_BODY + 1)],
        [413],
        CLOSED,
    ),
    # Java's HttpClient would wait for the body of the answer for ever.
    "Java expects with too large a body": (
        [
            H + b"Expect: 100-continue\r\nUser-Agent: Java-http-client/17.0.15\r\n"
            b"Content-Length: %d\r\n\r\n" % (LARGEST_BODY + 1)
        ],
        [100, 413],
        CLOSED,
    ),
    "Java with too large a body": (
        [H + b"User-Agent: Java-http-client/17.0.15\r\nContent-Length: %d\r\n\r\n" % (LARGEST_BODY + 1)],
        [413],
        CLOSED,
    ),
    "expect something else": ([H + b"Expect: wonders\r\nContent-Length: 3\r\n\r\n", b"abc"], [200], OPEN),
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
    "absolute ping": ([b"GET http://h/ping HTTP/1.1\r\nHost: h\r\n\r\n"], [200], OPEN),
    "absolute prediction": ([b"POST HTTP://h:80/predictions/noop HTTP/1.1\r\nHost: h\r\n\r\n"], [200], OPEN),
    "absolute, read by Twisted Web": (
        [b"OPTIONS http://h/predictions/noop HTTP/1.1\r\nHost: h\r\n\r\n"],
        [200],
        OPEN,
    ),
    "absolute without a path": ([b"OPTIONS http://h HTTP/1.1\r\nHost: h\r\n\r\n"], [200], OPEN),
    "the whole server": ([b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"], [200], OPEN),
    "an asterisk for another method": ([b"GET * HTTP/1.1\r\nHost: h\r\n\r\n"], [400], CLOSED),
    "no path": ([b"GET xping HTTP/1.1\r\nHost: h\r\n\r\n"], [400], CLOSED),
    "empty line before": ([b"\r\n" + HOT], [200], OPEN),
    "empty lines between": ([HOT + b"\r\n" + HOT], [200, 200], OPEN),
    "no Host": ([b"GET /ping HTTP/1.1\r\n\r\n"], [400], CLOSED),
    "a Host that is not ASCII": ([b"GET /ping HTTP/1.1\r\nHost: \xe4\r\n\r\n"], [400], CLOSED),
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
    "large body elsewhere": (
        [b"PUT /nope HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n"],
        [413],
        CLOSED,
    ),
    "good, then bad": ([HOT + b"BLAH\r\n\r\n" + HOT], [200, 400], CLOSED),
    "chunked, then bad": ([CHUNKED + b"0\r\n\r\nBLAH\r\n\r\n"], [200, 400], CLOSED),
    "error, then good": ([b"POST /predictions/nope HTTP/1.1\r\nHost: x\r\n\r\n" + HOT], [404], CLOSED),
    "error of Twisted Web, then good": ([b"GET /nope HTTP/1.1\r\nHost: x\r\n\r\n" + HOT], [404], CLOSED),
    "bad timeout": ([H + b"X-Request-Timeout-Ms: soon\r\n\r\n"], [400], CLOSED),
}


class ConnectionCases(SynchronousTestCase):
    """A table of what is sent, what comes back, and whether the connection stays."""

    endpoint_kind: type[InferenceEndpoint] = InferenceEndpoint

    def setUp(self) -> None:
        self.stage = ConnectionStage(self.endpoint_kind)

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
        self.assertEqual(set(), self.stage.connections)


class TwistedWebCases(ConnectionCases):
    """The same, when Twisted Web has every request."""

    endpoint_kind = TwistedWebEndpoint
