"""Bodies share so much memory."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.harness.connections import ConnectionStage

HEAD = b"POST /predictions/noop HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"


class BodyMemoryTests(SynchronousTestCase):
    """Bodies share so much memory."""

    def setUp(self) -> None:
        self.stage = ConnectionStage()
        self.stage.listener.memory.limit = 1500

    @property
    def used(self) -> int:
        return self.stage.listener.memory.used

    def test_there_is_room_again_once_the_first_is_answered(self) -> None:
        first, second = self.stage.connect(), self.stage.connect()
        first.send(HEAD)
        second.send(HEAD)
        self.assertEqual(second.statuses, [503])
        self.assertIn(b"request_memory", second.got[0].body)
        first.send(b"x" * 1000)
        self.assertEqual(self.used, 1000)
        self.stage.settle()
        self.assertEqual((first.statuses, self.used), ([200], 0))

    def test_a_client_who_leaves_gives_it_back(self) -> None:
        client = self.stage.connect()
        client.send(HEAD)
        client.leave()
        self.assertEqual(self.used, 0)

    def test_chunked_bodies_are_counted_as_they_come(self) -> None:
        client = self.stage.connect()
        client.send(HEAD.replace(b"Content-Length: 1000", b"Transfer-Encoding: chunked"))
        client.send(b"3e8\r\n" + b"x" * 1000 + b"\r\n")
        self.assertEqual(self.used, 1000)
        client.send(b"3e8\r\n" + b"x" * 1000 + b"\r\n")
        self.assertEqual((client.statuses, self.used), ([503], 0))
