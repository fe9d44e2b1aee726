"""Which heads a connection remembers, and which it refuses."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from modelserver.http1.head import LONGEST_HEAD
from modelserver.rest.inference.front import InferenceSettings
from tests.harness.connections import (
    LARGEST_BODY,
    ConnectionStage,
)
from tests.harness.requests import HOT, H


class HeadTests(SynchronousTestCase):
    """Heads of requests are read once for all connections, as far as they are worth it."""

    def setUp(self) -> None:
        self.stage = ConnectionStage()
        self.client = self.stage.connect()

    def test_request_that_cannot_be_read_is_noted_as_such(self) -> None:
        self.client.send(HOT + b"BLAH\r\n\r\n")
        self.client.finish()
        noted = [("POST", "/predictions/noop", 200), ("-", "-", 400)]
        self.assertEqual(noted, self.stage.access.notes)

    def test_head_is_read_once_for_all_connections(self) -> None:
        other = self.stage.connect()
        for client in (self.client, other, self.client, other):
            client.send(HOT)
            client.finish()
        self.assertEqual([200, 200], other.statuses)
        self.assertEqual(1, len(self.stage.listener.heads.known))

    def test_long_heads_are_not_remembered(self) -> None:
        for filler, count in ((b"x" * 100, 1), (b"x" * 3000, 1)):
            for _ in range(2):
                self.stage.connect().send(H + b"X: " + filler + b"\r\nContent-Length: 0\r\n\r\n")
            self.assertEqual(count, len(self.stage.listener.heads.known))

    def test_memo_is_bounded(self) -> None:
        for number in range(5000):
            self.client.send(b"GET /ping HTTP/1.1\r\nHost: x\r\nX: %d\r\n\r\n" % (number // 2))
        self.client.finish()
        self.assertEqual([200] * 5000, self.client.statuses)
        self.assertLessEqual(len(self.stage.listener.heads.known), 2048)

    def test_heads_with_a_line_of_their_own_are_not_remembered_but_their_other_lines_are(self) -> None:
        for number in range(5000):
            self.client.send(b"GET /ping HTTP/1.1\r\nHost: x\r\nX: %d\r\n\r\n" % number)
        self.client.finish()
        self.assertEqual([200] * 5000, self.client.statuses)
        self.assertEqual({}, self.stage.listener.heads.known)

    def test_head_of_exactly_the_limit_is_served(self) -> None:
        def head(size: int) -> bytes:
            start = b"GET /ping HTTP/1.1\r\nHost: x\r\nX: "
            return start + b"y" * (size - len(start) - 4) + b"\r\n\r\n"

        self.client.send(head(LONGEST_HEAD))
        self.client.send(head(LONGEST_HEAD + 1))
        self.client.finish()
        self.assertEqual([200, 431], self.client.statuses)

    def test_management_listener_serves_nothing_plain(self) -> None:
        stage = ConnectionStage(settings=InferenceSettings(LARGEST_BODY, b"", False))
        client = stage.connect()
        client.send(HOT)
        client.finish()
        self.assertEqual([], [head for head in stage.listener.heads.known.values() if head.operation])
