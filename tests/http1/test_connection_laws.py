"""Laws of the connection: the cut of a stream does not matter, nor whether Twisted Web reads a request."""

from __future__ import annotations

from itertools import pairwise

import hypothesis.strategies as st
from hypothesis import given, settings
from twisted.trial.unittest import SynchronousTestCase

from tests.harness.connections import LARGEST_BODY, Asked, ConnectionStage, TwistedWebEndpoint

METHODS = st.sampled_from([b"POST", b"GET", b"PUT", b"POST", b"OPTIONS", b"DELETE", b"post"])
TARGETS = st.sampled_from(
    [
        b"/predictions/noop",
        b"/predictions/noop/1.0",
        b"/predictions/noop/1.0/v1/rest?a=b",
        b"/predictions/noop/2.0",
        b"/predictions/n%6fop/",
        b"/predictions/nope",
        b"/predictions/noop?x=%41",
        b"//predictions/noop",
        b"/predictions//noop",
        b"/Predictions/noop",
        b"/predictions/%2e%2e/noop",
        b"/predictions/noop%2F1.0",
        b"/predictions/%ff",
        b"/explanations/noop",
        b"/invocations?model_name=other",
        b"/invocations",
        b"/models/other/invoke?a=1&a=2",
        b"/noop/predict",
        b"/noop/1.0/predict?q=1",
        b"/v1/models/noop:predict",
        b"/v2/models/noop/versions/1.0/infer",
        b"/v2/models/noop/infer",
        b"/ping",
        b"/ping?x=y",
        b"/ping/",
        b"/health/live",
        b"/nowhere",
        b"*",
        b"http://x/predictions/noop",
        b"/predictions/noop#part",
    ]
)
TOKENS = st.text("abcXYZ019-_.!~", min_size=1, max_size=8).map(str.encode)
VALUES = st.text('abc xyz,;="\t\xe9/', max_size=12).map(lambda text: text.encode("latin-1"))
SPECIAL = st.sampled_from(
    [
        b"Connection: keep-alive\r\n",
        b"Connection: Keep-Alive\r\n",
        b"connection: close\r\n",
        b"Connection: close, x\r\n",
        b"Connection: upgrade\r\nUpgrade: h2c\r\n",
        b"Expect: 100-continue\r\n",
        b"TE: trailers\r\n",
        b"Trailer: x\r\n",
        b"X: 1\r\nX: 2\r\n",
        b"Cookie: a=b; c\r\n",
        b"Content-Type: application/json\r\n",
        b"Content-Type: application/x-www-form-urlencoded\r\n",
        b"Content-Type: multipart/form-data; boundary=b\r\n",
        b"X-Request-Timeout-Ms: 100000\r\n",
        b"X-Request-Timeout-Ms: x\r\n",
        b"Authorization: Bearer key\r\n",
        b"Host: y\r\n",
        b"Content-Length: 2\r\n",
        b"Content-Length: +1\r\n",
        b"Transfer-Encoding: identity\r\n",
        b"Folded: a\r\n b\r\n",
        b"Spaced : a\r\n",
        b"Empty:\r\n",
        b"Padded: \t a \t \r\n",
    ]
)
LINES = st.one_of(SPECIAL, st.builds(b"%b: %b\r\n".__mod__, st.tuples(TOKENS, VALUES)))
BODIES = st.one_of(
    st.binary(max_size=20),
    st.sampled_from([b"\r\n\r\n", b"POST / HTTP/1.1\r\n\r\n"]),
    st.sampled_from([LARGEST_BODY, LARGEST_BODY + 1]).map(b"x".__mul__),
)


@st.composite
def plain_requests(draw: st.DrawFn) -> bytes:
    """A request with a length, most often a good one."""
    body = draw(BODIES)
    version = draw(st.sampled_from([b"1.1"] * 6 + [b"1.0", b"1.2"]))
    host = draw(st.sampled_from([b"Host: x\r\n"] * 8 + [b"host: x:8080\r\n", b""]))
    lines = draw(st.lists(LINES, max_size=3))
    length = b"Content-Length: %d\r\n" % len(body) if body or draw(st.booleans()) else b""
    line = b"%b %b HTTP/%b\r\n" % (draw(METHODS), draw(TARGETS), version)
    return b"".join([line, host, *draw(st.permutations([*lines, length])), b"\r\n", body])


@st.composite
def chunked_requests(draw: st.DrawFn) -> bytes:
    """A chunked request; its end may be missing, or its chunks be none."""
    chunks = [b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in draw(st.lists(BODIES, max_size=3)) if chunk]
    end = draw(st.sampled_from([b"0\r\n\r\n"] * 5 + [b"0\r\nX: y\r\n\r\n", b"0;a=b\r\n\r\n", b"g\r\n", b""]))
    head = b"%b %b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    return b"".join([head % (draw(METHODS), draw(TARGETS)), *chunks, end])


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A request of which one byte is another, is gone, or is one more."""
    data = draw(plain_requests())
    place = draw(st.integers(0, len(data) - 1))
    byte = draw(st.sampled_from([b"\r", b"\n", b"\0", b" ", b":", b"\t", b"\x80", b"a", b""]))
    return data[:place] + byte + data[place + draw(st.integers(0, 1)) :]


STREAMS = st.lists(
    st.one_of(plain_requests(), plain_requests(), chunked_requests(), damaged(), st.just(b"\r\n")),
    min_size=1,
    max_size=4,
).map(b"".join)

Outcome = tuple[list[Asked], list[tuple[int, bytes]], bool]


PLAIN, TWISTED_WEB = ConnectionStage(), ConnectionStage(TwistedWebEndpoint)


def outcome(pieces: list[bytes], stage: ConnectionStage = PLAIN, at_once: bool = False) -> Outcome:
    """
    What reached the worker, what came back, and whether the connection was closed.

    That a client is told to go on (100) does not count: where a body is there already, or none comes,
    a server may leave it out (RFC 9110, 10.1.1), and Twisted Web does not. Cases say when ours does it.
    """
    stage.asked.clear()
    stage.listener.heads.known.clear()
    client = stage.connect()
    client.send_pieces(pieces, at_once)
    client.leave()
    assert not stage.failures, stage.failures
    assert not stage.connections
    got = [(answer.status, answer.body) for answer in client.got if answer.status != 100]
    return list(stage.asked), got, client.is_closing


class ConnectionLaws(SynchronousTestCase):
    """What holds for whatever a client sends."""

    @settings(max_examples=300, deadline=None)
    @given(STREAMS, st.lists(st.integers(0, 400), max_size=8), st.booleans())
    def test_cut_of_the_stream_does_not_matter(self, data: bytes, cuts: list[int], at_once: bool) -> None:
        places = sorted({0, *(cut % (len(data) + 1) for cut in cuts), len(data)})
        pieces = [data[start:end] for start, end in pairwise(places)]
        self.assertEqual(outcome([data]), outcome(pieces, at_once=at_once))

    @settings(max_examples=60, deadline=None)
    @given(STREAMS)
    def test_byte_by_byte_is_the_same(self, data: bytes) -> None:
        data = data[:1500]
        self.assertEqual(outcome([data]), outcome([data[at : at + 1] for at in range(len(data))]))

    @settings(max_examples=400, deadline=None)
    @given(STREAMS)
    def test_twisted_web_reads_the_same_requests(self, data: bytes) -> None:
        self.assertEqual(outcome([data], TWISTED_WEB), outcome([data]))

    @settings(max_examples=200, deadline=None)
    @given(st.binary(max_size=300))
    def test_any_bytes_are_answered_or_awaited(self, data: bytes) -> None:
        asked, got, is_closing = outcome([data])
        self.assertEqual([], asked)
        self.assertTrue(not got or is_closing)
