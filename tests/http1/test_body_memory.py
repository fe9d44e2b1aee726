"""Bodies share so much memory."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from modelserver.jobs import Answer
from modelserver.protocol.shared_memory import LARGE, SharedMemoryPool
from modelserver.rest.inference.front import InferenceSettings
from tests.harness.connections import ConnectionStage
from tests.harness.transports import FillingTransport

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
        first.send(HEAD + b"x" * 900)
        second.send(HEAD + b"x" * 500)
        second.send(b"x" * 101)
        self.assertEqual(second.statuses, [503])
        self.assertIn(b"request_memory", second.got[0].body)
        self.assertEqual(self.used, 900)
        first.send(b"x" * 100)
        self.assertEqual(self.used, 1000)
        self.stage.settle()
        self.assertEqual((first.statuses, self.used), ([200], 0))

    def test_who_only_announces_a_body_shuts_nobody_out(self) -> None:
        for _ in range(100):
            self.stage.connect().send(HEAD)
        self.assertEqual(self.used, 0)
        client = self.stage.connect()
        client.send(HEAD)
        client.send(b"x" * 1000)
        self.stage.settle()
        self.assertEqual(client.statuses, [200])

    def test_what_follows_a_body_is_not_counted(self) -> None:
        client = self.stage.connect()
        client.send(HEAD)
        client.send(b"x" * 1000 + HEAD)
        self.assertEqual(self.used, 1000)

    def test_a_client_who_leaves_gives_it_back(self) -> None:
        client = self.stage.connect()
        client.send(HEAD + b"x" * 500)
        self.assertEqual(self.used, 500)
        client.leave()
        self.assertEqual(self.used, 0)

    def test_chunked_bodies_are_counted_as_they_come(self) -> None:
        client = self.stage.connect()
        client.send(HEAD.replace(b"Content-Length: 1000", b"Transfer-Encoding: chunked"))
        client.send(b"3e8\r\n" + b"x" * 1000 + b"\r\n")
        self.assertEqual(self.used, 1000)
        client.send(b"3e8\r\n" + b"x" * 1000 + b"\r\n")
        self.assertEqual((client.statuses, self.used), ([503], 0))


class LargeBodyMemoryTests(SynchronousTestCase):
    """The same for bodies that go straight to where workers read them."""

    def test_they_are_counted_as_they_come_and_refused_in_the_middle(self) -> None:
        pool = SharedMemoryPool(-1, 2 * LARGE, memoryview(bytearray(4 * LARGE)))
        stage = ConnectionStage(settings=InferenceSettings(2 * LARGE), slots=pool)
        memory = stage.listener.memory
        memory.limit = LARGE
        first, second = stage.connect(FillingTransport()), stage.connect(FillingTransport())
        for client in (first, second):
            client.send(HEAD.replace(b"1000", b"%d" % LARGE))
        first.send(b"x" * (LARGE - 1000))
        self.assertEqual(memory.used, LARGE - 1000)
        second.send(b"x" * 1001)
        self.assertEqual((second.statuses, memory.used), ([503], LARGE - 1000))
        second.send(b"x" * (LARGE - 1001))  # what comes now is thrown away
        first.send(b"x" * 1000)
        stage.turn()
        stage.answer(Answer(200, b"", b"read"))
        self.assertEqual((first.statuses, second.statuses, memory.used), ([200], [503], 0))
        self.assertIsNotNone(pool.take(2 * LARGE))
        self.assertIsNotNone(pool.take(2 * LARGE))
