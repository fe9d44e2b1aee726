"""Chunked bodies of predictions, which a connection reads itself."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from modelserver.http1 import twisted_web
from modelserver.jobs import Answer
from modelserver.protocol.shared_memory import LARGE, SharedMemoryPool
from modelserver.rest.inference.front import InferenceSettings
from tests.harness.connections import Client, ConnectionStage
from tests.harness.transports import FillingTransport

MOST = 2 * LARGE
HEAD = b"POST /predictions/noop HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
WAITING = HEAD.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
END = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class ChunkedPredictionTests(SynchronousTestCase):
    """Clients who do not say how long their bodies are."""

    def setUp(self) -> None:
        slots = SharedMemoryPool.open(MOST)
        assert slots is not None
        self.slots = slots
        self.addCleanup(slots.close)
        self.stage = ConnectionStage(settings=InferenceSettings(MOST), slots=slots)
        self.patch(twisted_web, "TwistedWebBridge", None)  # nobody else is to read them
        self.client = self.connect()
        self.all = slots.free

    def connect(self) -> Client:
        return self.stage.connect(FillingTransport())

    @property
    def used(self) -> int:
        return self.stage.listener.memory.used

    def test_body_arrives_whole(self) -> None:
        self.client.send(HEAD + chunk(b"abc"))
        self.assertEqual((3, []), (self.used, self.client.statuses))
        self.client.send(chunk(b"de") + END)
        self.stage.settle()
        self.assertEqual(([200], b"abcde", 0), (self.client.statuses, self.stage.asked[-1].body, self.used))

    def test_what_comes_behind_is_served_next(self) -> None:
        self.client.send(HEAD + chunk(b"first") + END + HEAD + chunk(b"second") + END)
        self.stage.settle()
        self.stage.settle()
        self.assertEqual([200, 200], self.client.statuses)
        self.assertEqual([b"first", b"second"], [asked.body for asked in self.stage.asked])

    def test_one_that_waits_is_told_to_send(self) -> None:
        self.client.send(WAITING)
        self.assertEqual(b"HTTP/1.1 100 Continue\r\n\r\n", bytes(self.client.transport.value()))
        self.client.send(chunk(b"abc") + END)
        self.stage.settle()
        self.assertEqual(b"abc", self.stage.asked[-1].body)

    def test_a_large_one_lies_where_the_worker_reads_it(self) -> None:
        body = b"x" * LARGE
        self.client.send(HEAD + chunk(body[:1000]))
        self.client.send(chunk(body[1000:]) + END)
        self.stage.turn()
        self.assertEqual(self.all - 1, self.slots.free)
        self.assertTrue(self.stage.answer(Answer(200, b"", b"read")))
        self.client.finish()
        self.assertEqual((self.all, body), (self.slots.free, self.stage.asked[-1].body))

    def test_too_much_of_it_is_refused_before_it_ends(self) -> None:
        self.client.send(HEAD + chunk(b"x" * MOST))
        self.assertEqual([], self.client.statuses)
        self.client.send(chunk(b"x"))
        self.assertEqual(([413], 0, []), (self.client.statuses, self.used, self.stage.asked))
        self.client.send(chunk(b"x") + END)
        self.stage.settle()
        self.assertEqual([413], self.client.statuses)

    def test_more_than_the_memory_for_bodies_is_refused(self) -> None:
        self.stage.listener.memory.limit = 10
        self.client.send(HEAD + chunk(b"x" * 8) + chunk(b"x" * 8) + END)
        self.assertEqual(([503], 0, []), (self.client.statuses, self.used, self.stage.asked))

    def test_what_is_no_chunk_is_refused(self) -> None:
        self.client.send(HEAD + chunk(b"abc") + b"zz\r\n")
        self.stage.settle()
        self.assertEqual(([400], 0, []), (self.client.statuses, self.used, self.stage.asked))

    def test_a_client_who_leaves_gives_everything_back(self) -> None:
        self.client.send(HEAD + chunk(b"abc"))
        self.client.leave()
        self.stage.settle()
        self.assertEqual((0, self.all, []), (self.used, self.slots.free, self.stage.asked))

    def test_many_small_chunks_are_read_in_turns(self) -> None:
        self.client.send(HEAD + chunk(b"x") * 5000 + END)
        self.assertLess(self.used, 5000)
        self.stage.settle()
        self.assertEqual(b"x" * 5000, self.stage.asked[-1].body)
