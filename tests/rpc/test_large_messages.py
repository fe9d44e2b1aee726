"""Large messages are read straight into memory that workers share."""

from __future__ import annotations

import gzip

from twisted.trial.unittest import SynchronousTestCase

from modelserver.jobs import SharedSlot
from modelserver.protocol.shared_memory import SharedMemoryPool
from modelserver.rpc.interfaces import Call
from modelserver.rpc.large_message import LARGE
from tests.harness.http2_client import Pairs, message
from tests.harness.rpc import RpcStage

SLOTS = 2
BODY = bytes(range(256)) * (LARGE // 256 + 4)


class LargeMessageTests(SynchronousTestCase):
    """A listener with two slots."""

    def setUp(self) -> None:
        size = 2 * LARGE
        self.slots = SharedMemoryPool(-1, size, memoryview(bytearray(SLOTS * size)))
        self.stage = RpcStage(slots=self.slots)
        self.site = self.stage.site
        self.client = self.stage.connect()
        self.places: list[SharedSlot | None] = []

    def take(self, call: Call, body: bytes | None) -> None:
        """A method that hands the place on, as to a job."""
        self.places.append(call.take_place())

    def send(self, body: bytes, more: Pairs = (), method: str = "Keep", whole: bool = True) -> int:
        """A call, in pieces as a client sends them."""
        stream = self.client.http2.request(method, more=more)
        for start in range(0, len(body), 50_000):
            self.client.http2.data(stream, body[start : start + 50_000])
            self.client.pump()
        if whole and not self.client.http2.answers[stream].is_ended:
            self.client.http2.data(stream, b"", True)
            self.client.pump()
        return stream

    def test_one_lies_where_its_method_is_told_and_is_its_own(self) -> None:
        self.site.keep.answers = self.take
        self.send(message(BODY))
        (place,) = self.places
        assert place is not None
        self.assertEqual(BODY, bytes(self.slots.view(place)))
        self.assertEqual([BODY], self.site.keep.messages)
        self.site.keep.calls[0].reply(b"")
        self.client.pump()
        self.assertEqual(SLOTS - 1, self.slots.free, "its job has it")
        place.free()
        self.assertEqual(SLOTS, self.slots.free)

    def test_a_place_that_nobody_takes_is_free_again(self) -> None:
        self.send(message(BODY))
        self.assertEqual(([BODY], SLOTS), (self.site.keep.messages, self.slots.free))

    def test_its_bytes_count_as_memory_for_bodies(self) -> None:
        self.send(message(BODY), whole=False)
        self.assertEqual(len(BODY) + 5, self.stage.memory.used)

    def test_small_ones_compressed_ones_and_those_without_a_place_go_another_way(self) -> None:
        self.site.keep.answers = self.take
        self.send(message(BODY[: LARGE - 1]))
        self.send(message(gzip.compress(BODY), 1), more=[(b"grpc-encoding", b"gzip")])
        taken = [self.slots.take(1) for _ in range(SLOTS)]
        self.send(message(BODY))
        self.assertEqual([None] * 3, self.places)
        self.assertEqual([BODY[: LARGE - 1], BODY, BODY], self.site.keep.messages)
        for place in taken:
            assert place is not None
            place.free()

    def test_one_that_is_too_large_takes_no_place(self) -> None:
        self.site.largest = LARGE
        client = RpcStage(slots=self.slots, site=self.site).connect()
        stream = client.http2.request("Keep", message(BODY)[:1000])
        client.pump()
        self.assertEqual((8, SLOTS), (client.http2.answers[stream].status, self.slots.free))

    def test_one_that_is_cut_off_or_too_long_is_refused_and_its_place_is_free(self) -> None:
        for body in (message(BODY)[:-1], message(BODY) + b"x", message(BODY) + message(b"")):
            stream = self.send(body)
            self.assertEqual((3, SLOTS), (self.client.http2.answers[stream].status, self.slots.free))
        self.assertEqual([], self.site.keep.messages)

    def test_clients_that_leave_half_way_free_the_place(self) -> None:
        stream = self.send(message(BODY)[:100_000], whole=False)
        self.assertEqual(SLOTS - 1, self.slots.free)
        self.client.http2.connection.reset_stream(stream, 8)
        self.client.pump()
        self.assertEqual(SLOTS, self.slots.free)
        self.send(message(BODY)[:100_000], whole=False)
        self.client.leave()
        self.assertEqual((SLOTS, 0), (self.slots.free, self.stage.memory.used))

    def test_a_deadline_half_way_frees_the_place(self) -> None:
        self.send(message(BODY)[:100_000], more=[(b"grpc-timeout", b"1S")], whole=False)
        self.stage.advance(1.5)
        self.assertEqual(SLOTS, self.slots.free)

    def test_a_defect_of_the_method_frees_the_place(self) -> None:
        stream = self.send(message(BODY), method="Fail")
        self.assertEqual((13, SLOTS), (self.client.http2.answers[stream].status, self.slots.free))
