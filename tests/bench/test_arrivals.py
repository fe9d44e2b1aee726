"""An open load: what it makes of answers, and one short run against a server that closes some connections."""

from __future__ import annotations

import json
import socket
import threading
from unittest import TestCase

from bench.arrivals import UNANSWERED, Arrivals, Tally, parse_answer

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nOK"
FULL_BODY = json.dumps({"code": 503, "limit": "job_queue_size", "message": "later"}).encode()
FULL = b"HTTP/1.1 503 No\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b" % (len(FULL_BODY), FULL_BODY)


class AnswerTests(TestCase):
    """What came."""

    def test_answers_are_read_whole(self) -> None:
        self.assertEqual((200, b"OK", False), parse_answer(OK))
        self.assertIsNone(parse_answer(OK[:-1]))
        self.assertIsNone(parse_answer(OK[:20]))

    def test_a_server_that_closes_says_so(self) -> None:
        self.assertEqual((503, FULL_BODY, True), parse_answer(FULL))

    def test_each_request_is_counted_once(self) -> None:
        tally = Tally(b"OK")
        for status, body in ((200, b"OK"), (200, b"no"), (503, FULL_BODY), (500, b"text")):
            tally.ended(status, body, 0.5)
        report = tally.report()
        self.assertEqual(1, report["answered"])
        self.assertEqual({"wrong body": 1, "503 job_queue_size later": 1, "500 ": 1}, report["failed"])


class LoadTests(TestCase):
    """A server that answers, refuses and closes in turn."""

    def test_every_request_leaves_and_has_an_end(self) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        answers = iter([OK, OK, FULL, b"", OK, OK])

        def serve() -> None:
            left = 6
            while left:
                connection, _ = listener.accept()
                with connection:
                    while connection.recv(4096):
                        left -= 1
                        answer = next(answers)
                        connection.sendall(answer)
                        if answer is not OK:
                            break
                        if not left:
                            return

        server = threading.Thread(target=serve, daemon=True)
        server.start()
        tally = Tally(b"OK")
        # So far apart that one connection at a time is enough.
        Arrivals(listener.getsockname()[1], b"GET / HTTP/1.1\r\n\r\n", 50.0, 0.12, tally).run()
        server.join(10.0)
        self.assertEqual((6, 4), (tally.sent, len(tally.answers)))
        self.assertEqual({"503 job_queue_size later": 1, UNANSWERED: 1}, dict(tally.failed))
        self.assertEqual(6, len(tally.late))
