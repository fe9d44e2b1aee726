"""Large bodies are received where the worker reads them, and their memory is given back whatever happens."""

from __future__ import annotations

from typing import cast

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from modelserver.http1.head import Malformed
from modelserver.jobs import Answer, SharedSlot
from modelserver.protocol.shared_memory import LARGE, SharedMemoryPool
from modelserver.rest.inference.front import InferenceEndpoint, InferenceSettings
from tests.harness.connections import Client, ConnectionStage
from tests.harness.defects import FailingRecorder
from tests.harness.transports import FillingTransport

LARGEST = 2 * LARGE
HEAD = b"POST /predictions/%b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
PING = b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n"


class LargeBodyTests(SynchronousTestCase):
    """A pool of slots, and connections that fill them."""

    def setUp(self) -> None:
        slots = SharedMemoryPool.open(LARGEST)
        assert slots is not None
        self.slots = slots
        self.addCleanup(slots.close)
        self.stage = ConnectionStage(settings=InferenceSettings(LARGEST), slots=slots)
        self.client = self.connect()
        self.all = slots.free

    def connect(self) -> Client:
        return self.stage.connect(FillingTransport())

    def body(self, size: int) -> bytes:
        return (b"0123456789" * (size // 10 + 1))[:size]

    def test_body_lies_in_a_slot_until_it_is_answered(self) -> None:
        for size in (LARGE, LARGE + 1, LARGEST):
            body = self.body(size)
            self.client.send(HEAD % (b"noop", size) + body[:10])
            self.client.send(body[10:1000])
            self.client.send(body[1000:] + PING)
            self.stage.turn()
            self.assertEqual(self.all - 1, self.slots.free)
            self.assertTrue(self.stage.answer(Answer(200, b"", b"read")))
            self.client.finish()
            self.assertEqual(self.all, self.slots.free)
            self.assertEqual(body, self.stage.asked[-1].body)
        self.assertEqual([b"read"] * 3, [got.body for got in self.client.got if got.body == b"read"])
        self.assertEqual([200] * 6, self.client.statuses)

    def test_body_that_comes_at_once_lies_in_a_slot_too(self) -> None:
        body = self.body(LARGE)
        self.client.connection.dataReceived(HEAD % (b"noop", LARGE) + body + PING)
        self.stage.turn()
        self.assertEqual(self.all - 1, self.slots.free)
        self.assertTrue(self.stage.answer(Answer(200, b"", b"read")))
        self.client.finish()
        self.assertEqual([200, 200], self.client.statuses)
        self.assertEqual(self.all, self.slots.free)
        self.assertEqual(body, self.stage.asked[-1].body)

    def test_answer_in_the_slot_is_sent_from_there(self) -> None:
        transport = FillingTransport()
        client = self.stage.connect(transport)
        body = self.body(LARGE)
        client.send(HEAD % (b"noop", LARGE) + body)
        self.stage.turn()
        (worker,) = self.stage.waiting()
        place = worker.batches[0][1][0].request.body
        assert isinstance(place, SharedSlot)
        self.assertTrue(self.stage.answer(Answer(200, b"", self.slots.view(place))))
        self.assertEqual(body, client.got[0].body)
        self.assertEqual(self.all - 1, self.slots.free)
        (sent,) = transport.told_when_sent
        sent()
        self.assertEqual(self.all, self.slots.free)

    def test_answer_in_the_slot_whose_client_left(self) -> None:
        self.client.send(HEAD % (b"noop", LARGE) + self.body(LARGE))
        self.stage.turn()
        (worker,) = self.stage.waiting()
        place = worker.batches[0][1][0].request.body
        assert isinstance(place, SharedSlot)
        self.client.leave()
        self.assertTrue(self.stage.answer(Answer(200, b"", self.slots.view(place))))
        self.assertEqual(self.all, self.slots.free)

    def test_smaller_body_lies_nowhere_else(self) -> None:
        body = self.body(LARGE - 1)
        self.client.send(HEAD % (b"noop", len(body)) + body)
        self.client.finish()
        self.assertEqual(body, self.client.got[0].body)
        self.assertEqual(self.all, self.slots.free)

    def test_without_a_free_slot_the_body_is_kept(self) -> None:
        taken: list[SharedSlot] = []
        while (place := self.slots.take(1)) is not None:
            taken.append(place)
        body = self.body(LARGE)
        self.client.send(HEAD % (b"noop", len(body)) + body[:10])
        self.client.send(body[10:])
        self.client.finish()
        self.assertEqual(body, self.client.got[0].body)

    def test_client_that_leaves_gives_its_slot_back(self) -> None:
        self.client.send(HEAD % (b"noop", LARGE) + b"some")
        self.assertEqual(self.all - 1, self.slots.free)
        self.client.leave()
        self.assertEqual(self.all, self.slots.free)

    def test_client_that_leaves_with_its_job_in_the_queue_gives_its_slot_back(self) -> None:
        first = self.connect()
        first.send(HEAD % (b"noop", 3) + b"abc")
        self.stage.turn()
        self.client.send(HEAD % (b"noop", LARGE) + b"0")
        self.client.send(self.body(LARGE)[1:])
        self.stage.turn()
        self.client.leave()
        self.stage.settle()
        self.stage.settle()
        self.assertEqual(self.all, self.slots.free)
        self.assertEqual([b"abc"], [asked.body for asked in self.stage.asked])

    def test_slow_request_is_refused_once_and_gives_its_slot_back(self) -> None:
        body = self.body(LARGE)
        self.client.send(HEAD % (b"noop", LARGE) + body[:10])
        self.client.connection.refuse(Malformed(408, "too slow"))
        self.client.send(body[10:] + PING)
        self.client.finish()
        self.assertEqual([408], self.client.statuses)
        self.assertEqual([], self.stage.asked)
        self.assertEqual(self.all, self.slots.free)

    def test_refused_request_gives_its_slot_back(self) -> None:
        body = self.body(LARGE)
        self.client.send(HEAD % (b"nope", LARGE) + body[:10])
        self.client.send(body[10:])
        self.client.finish()
        self.assertEqual([404], self.client.statuses)
        self.assertEqual(self.all, self.slots.free)

    def test_worker_that_dies_gives_the_slot_back(self) -> None:
        body = self.body(LARGE)
        self.client.send(HEAD % (b"noop", LARGE) + body[:10])
        self.client.send(body[10:])
        self.stage.turn()
        for _ in range(2):  # the request is tried twice
            (worker,) = self.stage.waiting()
            worker.kill("protocol")
            self.stage.stage.clock.pump([1.0] * 4)
            self.stage.stage.backend.last.load()
            self.stage.turn()
        self.assertEqual([500], self.client.statuses)
        self.assertEqual(self.all, self.slots.free)

    def test_ping_gives_the_slot_of_its_body_back(self) -> None:
        self.client.send(PING[:-2] + b"Content-Length: %d\r\n\r\n" % LARGE)
        self.client.send(self.body(LARGE))
        self.client.finish()
        self.assertEqual([200], self.client.statuses)
        self.assertEqual(self.all, self.slots.free)

    def test_defect_gives_the_slot_back_when_no_worker_can_get_it_any_more(self) -> None:
        endpoint = cast(InferenceEndpoint, self.stage.listener.handler)
        endpoint.inference = evolve(endpoint.inference, recorder=FailingRecorder(fails="request_arrived"))
        self.client.send(HEAD % (b"noop", LARGE) + self.body(LARGE))
        self.client.finish()
        self.assertEqual(([500], []), (self.client.statuses, self.stage.asked))
        self.assertEqual(self.all, self.slots.free)
        self.assertEqual([ZeroDivisionError], [failure.type for failure in self.stage.failures])
