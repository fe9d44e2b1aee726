"""Heads are read strictly: what could be read in two ways is refused."""

from __future__ import annotations

import hypothesis.strategies as st
from attrs import evolve
from hypothesis import given
from twisted.trial.unittest import SynchronousTestCase

from modelserver.http1.head import (
    LONGEST_HEAD,
    LONGEST_TARGET,
    MOST_FIELDS,
    MOST_LINES,
    LineCache,
    Malformed,
    RequestHead,
    parse_head,
)

LINE = b"POST /p HTTP/1.1\r\n"
TOKEN = st.text("!#$%&'*+-.^_`|~019AZaz", min_size=1, max_size=10).map(str.encode)
VALUE = st.lists(st.integers(0x20, 0xFF).filter(lambda byte: byte != 0x7F), max_size=20).map(bytes)
SPACE = st.text(" \t", max_size=3).map(str.encode)


def parse(*lines: bytes, line: bytes = LINE) -> RequestHead:
    """The head with these field lines."""
    data = line + b"".join(field + b"\r\n" for field in lines) + b"\r\n"
    return parse_head(data + b"body", len(data))


class HeadTests(SynchronousTestCase):
    """What a head says, and what is refused."""

    def refusal(self, *lines: bytes, line: bytes = LINE) -> int:
        return int(self.assertRaises(Malformed, parse, *lines, line=line).code)

    def test_parts_of_a_plain_request(self) -> None:
        head = parse(b"Host: x", b"Content-Length: 3", b"X-Y:  a b \t")
        self.assertEqual((b"POST", b"/p", 1), (head.method, head.target, head.minor))
        self.assertEqual({b"host": b"x", b"content-length": b"3", b"x-y": b"a b"}, head.fields)
        self.assertEqual(b"Host: x\r\nContent-Length: 3\r\nX-Y:  a b \t\r\n", head.block)
        self.assertEqual((3, True), (head.length, head.is_plain))

    def test_target_is_path_and_query_in_every_form(self) -> None:
        for target, path in (
            (b"/ping?a=1", b"/ping?a=1"),
            (b"//h/ping", b"//h/ping"),
            (b"http://h/ping?a=1", b"/ping?a=1"),
            (b"HTTPS://[::1]:8443/a//b", b"/a//b"),
            (b"http://h:80", b"/"),
            (b"http://h?a=http://i/b", b"/?a=http://i/b"),
        ):
            head = parse(b"Host: x", line=b"GET %b HTTP/1.1\r\n" % target)
            self.assertEqual((head.target, head.shown[1]), (path, target.decode()))
        self.assertEqual(parse(b"Host: x", line=b"OPTIONS * HTTP/1.1\r\n").target, b"/")

    def test_target_that_is_no_path_is_refused(self) -> None:
        for line in (
            b"GET * HTTP/1.1\r\n",
            b"CONNECT h:80 HTTP/1.1\r\n",
            b"GET ping HTTP/1.1\r\n",
            b"GET xping HTTP/1.1\r\n",
            b"GET ?a=1 HTTP/1.1\r\n",
            b"GET http:///ping HTTP/1.1\r\n",
            b"GET http://user@h/ping HTTP/1.1\r\n",
            b"GET ftp://h/ping HTTP/1.1\r\n",
        ):
            self.assertEqual(self.refusal(b"Host: x", line=line), 400, line)

    def test_plain_is_what_needs_nothing_but_its_body(self) -> None:
        self.assertTrue(parse(b"Host: x").is_plain)
        self.assertTrue(parse(b"Host: x", b"Connection: Keep-Alive").is_plain)
        self.assertTrue(parse(b"Host: x", b"Transfer-Encoding: chunked").is_plain)
        for field in (b"Connection: upgrade, http2-settings", b"Upgrade: h2c", b"Trailer: x"):
            self.assertTrue(parse(b"Host: x", field).is_plain, field)
        self.assertFalse(parse(b"Host: x", b"Expect: 200-ok").is_plain)
        self.assertFalse(parse(b"Host: x", b"A: 1", b"a: 2").is_plain)
        for name in (b"Accept", b"Cookie", b"Via", b"X-Forwarded-For"):
            head = parse(b"Host: x", name + b": 1", name + b": 2")
            self.assertEqual((True, b"2"), (head.is_plain, head.fields[name.lower()]), name)

    def test_a_client_of_http_1_1_may_wait_to_be_told_to_send(self) -> None:
        for head, found in (
            (parse(b"Host: x"), (True, False)),
            (parse(b"Host: x", b"Expect: 100-Continue"), (True, True)),
            (
                parse(b"Expect: 100-continue", b"Connection: keep-alive", line=b"GET / HTTP/1.0\r\n"),
                (False, False),
            ),
        ):
            self.assertEqual(found, (head.is_plain, head.expects), head)

    def test_connection_ends_where_its_client_says_so(self) -> None:
        old = b"GET / HTTP/1.0\r\n"
        for head, closes in (
            (parse(b"Host: x"), False),
            (parse(b"Host: x", b"Connection: Close"), True),
            (parse(line=old), True),
            (parse(b"Connection: Keep-Alive", line=old), False),
        ):
            self.assertEqual((True, closes), (head.is_plain, head.closes), head)

    def test_known_lines_are_read_as_new_ones(self) -> None:
        known = LineCache()
        for fields in (b"A: 1\r\nB: 2", b"A: 1\r\nB: 3", b"B: 2\r\nA: 1", b"A: 1\r\nA: 1"):
            data = LINE + b"Host: x\r\n" + fields + b"\r\n\r\n"
            new, old = parse_head(data, len(data)), parse_head(data, len(data), known)
            again = parse_head(data, len(data), known)
            self.assertEqual((new, new), (evolve(old, is_new=True), evolve(again, is_new=True)))
            self.assertFalse(again.is_new)

    def test_lines_that_are_remembered_are_bounded(self) -> None:
        known = LineCache()
        for number in range(2 * MOST_LINES):
            data = b"GET /%d HTTP/1.1\r\nHost: x%d\r\n\r\n" % (number, number)
            parse_head(data, len(data), known)
        long = b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 300 + b"\r\n\r\n"
        parse_head(long, len(long), known)
        for lines in (known.starts, known.fields):
            self.assertLessEqual(len(lines), MOST_LINES)
            self.assertLessEqual(max(map(len, lines)), 256)

    def test_no_line_is_remembered_that_was_refused(self) -> None:
        known = LineCache()
        for data in (b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nno field\r\n\r\n"):
            for _ in range(2):
                self.assertRaises(Malformed, parse_head, data, len(data), known)
        self.assertEqual({}, known.fields)

    def test_length(self) -> None:
        self.assertEqual(0, parse(b"Host: x").length)
        self.assertEqual(10**14, parse(b"Host: x", b"Content-Length: 100000000000000").length)
        self.assertIsNone(parse(b"Host: x", b"Transfer-Encoding: Chunked").length)
        for length in (b"", b"+1", b"-1", b"1.0", b"0x1", b"1 1", b"1,1", b"1_0", b"\xb2", b"9" * 16):
            self.assertEqual(400, self.refusal(b"Host: x", b"Content-Length: " + length), length)

    def test_transfer_encoding_that_could_be_read_in_two_ways(self) -> None:
        for coding in (b"gzip", b"chunked, chunked", b"identity", b"chunked;q=1", b"\x0bchunked", b""):
            self.assertEqual(400, self.refusal(b"Host: x", b"Transfer-Encoding: " + coding), coding)
        self.assertEqual(400, self.refusal(b"Host: x", b"Transfer-Encoding: chunked", b"Content-Length: 0"))
        self.assertEqual(400, self.refusal(b"Transfer-Encoding: chunked", line=b"POST / HTTP/1.0\r\n"))

    def test_fields_that_may_be_there_once(self) -> None:
        for field in (b"Host", b"Content-Length", b"Transfer-Encoding", b"Authorization", b"Content-Type"):
            lines = [field + b": 1", field.lower() + b": 1"]
            self.assertEqual(400, self.refusal(*lines, *([] if field == b"Host" else [b"Host: x"])), field)

    def test_host_is_needed_since_http_1_1(self) -> None:
        self.assertEqual(400, self.refusal(b"A: b"))
        self.assertEqual(0, parse(b"A: b", line=b"GET / HTTP/1.0\r\n").length)

    def test_malformed_lines(self) -> None:
        for field in (
            b"A : b",
            b" A: b",
            b"A",
            b": b",
            b"A: \x00",
            b"A: a\rb",
            b"A: a\nb",
            b"A: \x7f",
            b"A\xe9: b",
        ):
            self.assertEqual(400, self.refusal(b"Host: x", field), field)
        for line in (
            b"GET / HTTP/1.2\r\n",
            b"GET / HTTP/2.0\r\n",
            b"PRI * HTTP/2.0\r\n",
            b"GET / HTTP/3\r\n",
            b"GET / http/1.1\r\n",
            b"GET /\r\n",
            b"GET  / HTTP/1.1\r\n",
            b"GET / HTTP/1.1 \r\n",
            b" GET / HTTP/1.1\r\n",
            b"GET /\x80 HTTP/1.1\r\n",
            b"GET /a b HTTP/1.1\r\n",
            b"G(T / HTTP/1.1\r\n",
            b"GET / HTTP/1.1\n",
            b"M" * 33 + b" / HTTP/1.1\r\n",
            b"GET /%00 HTTP/1.1\r\n",
        ):
            self.assertEqual(400, self.refusal(b"Host: x", line=line), line)

    def test_other_versions_are_named(self) -> None:
        """What a client of HTTP/2 asks in vain, gRPC's at the wrong port among them, tells why."""
        for line in (b"PRI * HTTP/2.0\r\n", b"GET / HTTP/2.0\r\n"):
            reason = self.assertRaises(Malformed, parse, b"Host: x", line=line).reason
            self.assertEqual("Invalid HTTP message: this address has HTTP/1.1, not HTTP/2.0.", reason)
        reason = self.assertRaises(Malformed, parse, b"Host: x", line=b"GET / HTTP/1.2\r\n").reason
        self.assertEqual("Invalid HTTP message.", reason)

    def test_limits(self) -> None:
        at_limit = b"GET /" + b"a" * (LONGEST_TARGET - 1) + b" HTTP/1.1\r\n"
        self.assertEqual(LONGEST_TARGET, len(parse(b"Host: x", line=at_limit).target))
        over = at_limit.replace(b"/a", b"/aa")
        self.assertEqual(414, self.refusal(b"Host: x", line=over))
        self.assertEqual(0, parse(b"Host: x", *[b"A: b"] * (MOST_FIELDS - 1)).length)
        self.assertEqual(431, self.refusal(b"Host: x", *[b"A: b"] * MOST_FIELDS))

    def test_hostile_space_costs_no_more_than_its_length(self) -> None:
        # Took seconds once; the test's time limit is the proof.
        for space in (b" ", b"\t", b" \t", b"a "):
            value = b" " * 5000 + space * (5000 // len(space)) + b"\x00"
            for _ in range(200):
                self.assertEqual(400, self.refusal(b"Host: x", b"A:" + value))

    @given(st.lists(st.tuples(TOKEN, SPACE, VALUE, SPACE), max_size=6))
    def test_fields_are_what_was_sent(self, fields: list[tuple[bytes, bytes, bytes, bytes]]) -> None:
        fields = [field for field in fields if field[0].lower() not in (b"host", b"connection")]
        lines = [name + b":" + before + value + after for name, before, value, after in fields]
        head = parse(b"Host: x", *lines)
        expected = {name.lower(): value.strip(b" \t") for name, _, value, _ in fields}
        self.assertEqual({b"host": b"x", **expected}, head.fields)
        self.assertEqual(len(expected) == len(fields), head.is_plain)

    @given(st.binary(max_size=200))
    def test_any_bytes_are_a_head_or_refused(self, data: bytes) -> None:
        for start in (b"", LINE, LINE + b"Host: x\r\n"):
            whole = start + data + b"\r\n\r\n"
            end = whole.find(b"\r\n\r\n") + 4
            self.assertLess(end, LONGEST_HEAD)
            try:
                head = parse_head(whole, end)
            except Malformed as error:
                self.assertIn(error.code, (400, 414, 431))
            else:
                self.assertTrue(head.block == b"" or head.block.endswith(b"\r\n"))
