"""Answers as bytes: what a strict client reads out of them."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given
from twisted.trial.unittest import SynchronousTestCase

from modelserver.http1 import responses
from modelserver.interfaces import Reply
from modelserver.jobs import Answer
from modelserver.protocol.frames import show_id
from tests.harness.connections import ID, read_answers

SHOWN = b"00010203-0405-0607-0809-0a0b0c0d0e0f"
UNCACHED = {
    b"pragma": b"no-cache",
    b"cache-control": b"no-cache; no-store, must-revalidate, private",
    b"expires": b"Thu, 01 Jan 1970 00:00:00 UTC",
}


class RenderTests(SynchronousTestCase):
    """Each kind of answer."""

    def test_plain_answer(self) -> None:
        """Of two ways, for small and for large ones."""
        expected = {b"x-request-id": SHOWN, b"content-length": b"4", b"connection": b"keep-alive", **UNCACHED}
        large = responses.answer_head(ID, Answer(200, b"", b"body")) + b"body"
        for data in (responses.plain_answer(ID, b"body"), large):
            (got,) = read_answers(data)
            self.assertEqual((200, b"", b"body"), (got.status, got.phrase, got.body))
            self.assertEqual(expected, got.headers)

    def test_answer_with_a_handlers_head(self) -> None:
        answer = Answer(201, b"Made\r\nx-a: 1\r\ncontent-type: text/plain\r\n", b"")
        (got,) = read_answers(responses.answer_head(ID, answer))
        self.assertEqual((201, b"Made"), (got.status, got.phrase))
        self.assertEqual((b"1", b"text/plain"), (got.headers[b"x-a"], got.headers[b"content-type"]))

    def test_handlers_error_closes(self) -> None:
        for status, connection in ((399, b"keep-alive"), (400, b"close"), (503, b"close")):
            (got,) = read_answers(responses.answer_head(ID, Answer(status, b"\r\n", b"")))
            self.assertEqual(connection, got.headers[b"connection"])

    def test_cors_lines_come_with_every_kind(self) -> None:
        cors = b"access-control-allow-origin: *\r\n"
        for data in (
            responses.answer_head(ID, Answer(200, b"", b""), cors),
            responses.answer_head(ID, Answer(200, b"OK\r\n", b""), cors),
            responses.stream_head(ID, Answer(200, b"", b""), cors) + responses.LAST_CHUNK,
            responses.reply(ID, Reply(404, b""), True, cors),
        ):
            (got,) = read_answers(data)
            self.assertEqual(b"*", got.headers[b"access-control-allow-origin"])

    def test_reply_of_a_dialect(self) -> None:
        (got,) = read_answers(responses.reply(ID, Reply(404, b"{}", b"", ((b"x", b"y"),)), True))
        self.assertEqual((404, b"Not Found", b"{}"), (got.status, got.phrase, got.body))
        self.assertEqual((b"y", b"close"), (got.headers[b"x"], got.headers[b"connection"]))

    def test_phrases(self) -> None:
        phrases = {
            413: b"Request Entity Too Large",
            414: b"Request-URI Too Long",
            416: b"Requested Range Not Satisfiable",
            422: b"Unprocessable Entity",
            420: b"Client Error (420)",
            507: b"Insufficient Storage",
            520: b"Server Error (520)",
            799: b"Unknown Status (799)",
        }
        self.assertEqual(phrases, {code: responses.phrase_of(code) for code in phrases})

    @given(st.lists(st.binary(max_size=50)))
    def test_stream_is_its_parts(self, parts: list[bytes]) -> None:
        data = responses.stream_head(ID, Answer(200, b"", b"")) + b"".join(map(responses.chunk, parts))
        (got,) = read_answers(data + responses.LAST_CHUNK)
        self.assertEqual(b"".join(parts), got.body)
        self.assertEqual(b"chunked", got.headers[b"transfer-encoding"])

    def test_ids_are_shown_as_uuids(self) -> None:
        self.assertEqual(SHOWN, show_id(ID))
