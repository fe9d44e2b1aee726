"""From a request's bytes to a handler's row."""

from __future__ import annotations

import json
from unittest import TestCase

from modelserver.child.data.decoder import MOST_FIELDS, BadForm, Decoded, Decoder
from modelserver.protocol.frames import BARE, EXPLAIN, FIELDS, NO_PATH, QUERY, RAW, Item

FORM = "application/x-www-form-urlencoded"


def decode(
    body: bytes, content_type: str = "", flags: int = 0, extra: bytes = b"", decodes: bool = True
) -> Decoded:
    """A request of one body, decoded."""
    decoder = Decoder(decodes)
    head = f"Content-Type: {content_type}\r\n".encode() if content_type else b""
    item = Item(bytes(16), head, extra, memoryview(body), flags)
    return decoder.row(decoder.head(head), item)


class RowTests(TestCase):
    """Values are as the peers' tables say."""

    def test_bodies(self) -> None:
        for content_type, body, value in (
            ("", b"x", bytearray(b"x")),
            ("application/octet-stream", b"x", bytearray(b"x")),
            ("application/json", b'{"a": 1}', {"a": 1}),
            ("application/json;charset=utf-8", b"[1]", [1]),
            ("Application/JSON", b"[1]", bytearray(b"[1]")),
            ("application/json", b"[1", bytearray(b"[1")),
            ("application/json", b"[" * 100_000, bytearray(b"[" * 100_000)),
            ("text/plain", b"x", "x"),
            ("text/html; a=b", b"x", "x"),
            ("text/plain", b"\xff", bytearray(b"\xff")),
        ):
            with self.subTest(content_type, body=body[:9]):
                row = decode(body, content_type).row
                self.assertEqual(row, {"body": value})
                self.assertIs(type(row["body"]), type(value))

    def test_nothing_is_decoded_where_the_setting_is_off(self) -> None:
        for content_type in ("application/json", "text/plain"):
            self.assertEqual(decode(b"1", content_type, decodes=False).row, {"body": bytearray(b"1")})

    def test_forms(self) -> None:
        decoded = decode(b"a=1&b=%C3%BC&a=2&c=", FORM)
        self.assertEqual(
            decoded.row, {"a": bytearray(b"2"), "b": bytearray("ü".encode()), "c": bytearray(b"")}
        )
        self.assertEqual((decoded.repeated or {})["a"], [bytearray(b"1"), bytearray(b"2")])

    def test_last_field_without_a_value_is_left_out_as_in_the_peers(self) -> None:
        for body, row in (
            (b"word", {}),
            (b"a=1&word", {"a": b"1"}),
            (b"word&a=1", {"word": b"", "a": b"1"}),
            (b"a=1&", {"a": b"1"}),
            (b"", {}),
        ):
            self.assertEqual(decode(body, FORM).row, row, body)

    def test_fields_that_are_no_ascii(self) -> None:
        self.assertEqual(decode("ä=ö&b=%FF".encode(), FORM).row, {"ä": bytearray("ö".encode()), "b": b"\xff"})

    def test_too_many_fields_are_refused(self) -> None:
        with self.assertRaises(BadForm):
            decode(b"&".join([b"a=1"] * (MOST_FIELDS + 1)), FORM)
        part = b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
        with self.assertRaises(BadForm):
            decode(part * (MOST_FIELDS + 1) + b"--B--\r\n", "multipart/form-data; boundary=B")

    def test_heads_of_parts_in_any_encoding(self) -> None:
        """Apache's HttpClient 5 writes file names in ISO-8859-1; TorchServe takes them, whatever they are."""
        for name, is_read_as in ((b"data", "data"), ("ä".encode(), "ä"), (b"\xe4", "\ufffd")):
            for filename in ("grün.png".encode("latin-1"), "grün.png".encode(), b"\xff\xfe"):
                head = b'--B\r\nContent-Disposition: form-data; name="%b"; filename="%b"' % (name, filename)
                body = head + b"\r\nContent-Type: image/png\r\n\r\n\xe4\r\n--B--\r\n"
                row = decode(body, "multipart/form-data; boundary=B").row
                self.assertEqual(row, {is_read_as: b"\xe4"}, (name, filename))

    def test_multipart_lines_may_end_in_lf(self) -> None:
        body = (
            b'--B\nContent-Disposition: form-data; name="a"\n\none\r\ntwo\n\nthree\n--Bb\n'
            b'\n--B\nContent-Disposition: form-data; name="f"; filename="f"\nContent-Type: text/plain\n\n'
            b"\n--B--\n"
        )
        row = decode(body, "multipart/form-data; boundary=B").row
        self.assertEqual(row, {"a": b"one\r\ntwo\n\nthree\n--Bb\n", "f": ""})

    def test_lf_in_a_multipart_body_of_crlf_is_content(self) -> None:
        body = b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\none\n--B\n\r\n--B--\r\n'
        self.assertEqual(decode(body, "multipart/form-data; boundary=B").row, {"a": b"one\n--B\n"})

    def test_query_is_input_where_the_route_says_so(self) -> None:
        extra = json.dumps({"query": [("q", "1"), ("q", "2")]}).encode()
        decoded = decode(b"x", flags=QUERY, extra=extra)
        self.assertEqual(decoded.row, {"q": bytearray(b"2"), "body": bytearray(b"x")})
        self.assertEqual(decode(b"x", extra=extra).row, {"body": bytearray(b"x")})

    def test_body_goes_before_a_query_of_its_name(self) -> None:
        extra = json.dumps({"query": [("body", "1")]}).encode()
        self.assertEqual(decode(b"x", flags=QUERY, extra=extra).row, {"body": bytearray(b"x")})

    def test_answers_of_other_handlers_are_bytes_whatever_the_headers_say(self) -> None:
        for content_type in ("", "application/json", "text/plain", FORM):
            decoded = decode(b"[1]", content_type, flags=RAW)
            self.assertEqual(decoded.row, {"body": bytearray(b"[1]")})
            self.assertIs(type(decoded.row["body"]), bytearray)
            extra = json.dumps({"fields": [["left", 2], ["ü", 0], ["right", 1]]}).encode()
            decoded = decode(b"abc", content_type, flags=FIELDS, extra=extra)
            self.assertEqual(decoded.row, {"left": b"ab", "ü": b"", "right": b"c"})
            self.assertEqual({type(value) for value in decoded.row.values()}, {bytearray})


class HeaderTests(TestCase):
    """What handlers see as headers."""

    def headers(self, block: bytes, flags: int = 0, extra: bytes = b"") -> dict[str, object]:
        decoder = Decoder(True)
        head = decoder.head(block)
        item = Item(bytes(16), block, extra, memoryview(b"x"), flags)
        return decoder.headers(head, item, decoder.row(head, item).kinds)

    def test_prediction(self) -> None:
        self.assertEqual(
            self.headers(b"X-Mixed: a b \r\nCONTENT-type: text/plain\r\n"),
            {
                "X-Mixed": "a b",
                "CONTENT-type": "text/plain",
                "url_path": "",
                "explain": "False",
                "body": {"content-type": "text/plain"},
            },
        )

    def test_answers_of_other_handlers_have_no_type(self) -> None:
        found = self.headers(b"Content-Type: text/plain\r\n", RAW)
        self.assertEqual(found["Content-Type"], "text/plain")
        self.assertEqual(found, {"Content-Type": "text/plain", "body": {"content-type": ""}})

    def test_first_node_of_a_workflow_finds_its_clients_headers_alone(self) -> None:
        found = self.headers(b"Content-Type: text/plain\r\n", BARE)
        self.assertEqual(found, {"Content-Type": "text/plain", "body": {"content-type": "text/plain"}})

    def test_explanation_with_a_path(self) -> None:
        extra = json.dumps({"headers": {"url_path": "a/b"}}).encode()
        found = self.headers(b"", EXPLAIN, extra)
        self.assertEqual((found["explain"], found["url_path"]), ("True", "a/b"))

    def test_routes_of_kserve_tell_no_path(self) -> None:
        for flags, explain in ((NO_PATH, "False"), (NO_PATH | EXPLAIN, "True")):
            found = self.headers(b"", flags)
            self.assertEqual(found, {"explain": explain, "body": {"content-type": ""}})

    def test_last_of_a_repeated_header_wins(self) -> None:
        self.assertEqual(self.headers(b"A: 1\r\nA: 2\r\n")["A"], "2")

    def test_route_with_a_query_adds_nothing(self) -> None:
        found = self.headers(b"A: 1\r\n", QUERY, json.dumps({"query": [("q", "1")]}).encode())
        self.assertEqual(found, {"A": "1", "q": {"content-type": ""}, "body": {"content-type": ""}})
